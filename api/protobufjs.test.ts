import test from 'ava';
import type protobuf from 'protobufjs';
import { decodeMessage } from './decode.ts';
import { encodeMessage } from './encode.ts';
import { messageTypesOf, parseProtos } from './proto/parse.ts';
import { enumType, type Field, type MessageType, messageType } from './schema.ts';

// Two codecs, one wire: ours against protobufjs, over every message with values from a seeded generator.

const random = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};
type Pick = ReturnType<typeof random>;

const pickFrom = <T>(pick: Pick, choices: readonly T[]): T => choices[pick(choices.length)] as T;

const scalars: Record<string, (pick: Pick) => unknown> = {
  string: (pick) => pickFrom(pick, ['', 'a', 'ü→\u{1F600}', 'x'.repeat(127), 'y'.repeat(128), 'z'.repeat(20_000)]),
  bytes: (pick) => new Uint8Array(pickFrom(pick, [0, 1, 127, 128, 300])).fill(255),
  bool: (pick) => pick(2) === 1,
  double: (pick) => pickFrom(pick, [0, -1.5, 1e300, Number.MIN_VALUE]),
  int32: (pick) => pickFrom(pick, [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]),
  uint32: (pick) => pickFrom(pick, [0, 1, 127, 128, 2 ** 32 - 1]),
  int64: (pick) => pickFrom(pick, [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 1_763_785_963_123_456_789n]),
  uint64: (pick) =>
    pickFrom(pick, [0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 35n, 2n ** 49n, 2n ** 60n, 2n ** 63n, 2n ** 64n - 1n]),
};

const value = (field: Field, pick: Pick, depth: number): unknown => {
  if (field.kind === 'message') return message(messageType(field.type), pick, depth + 1);
  if (field.kind === 'enum') return pickFrom(pick, [...enumType(field.type).numbers.keys()]);
  return scalars[field.kind]?.(pick);
};

const fieldValue = (field: Field, pick: Pick, depth: number): unknown => {
  const times = Array.from({ length: pick(4) });
  if (field.list === 'map') return Object.fromEntries(times.map((_, at) => [`key${at}`, value(field, pick, depth)]));
  if (field.list === 'list') return depth > 4 ? [] : times.map(() => value(field, pick, depth));
  return field.kind === 'message' && (depth > 4 || pick(3) === 0) ? undefined : value(field, pick, depth);
};

const message = (type: MessageType, pick: Pick, depth = 0): Record<string, unknown> =>
  Object.fromEntries(type.fields.map((field) => [field.name, fieldValue(field, pick, depth)]));

/** protobufjs' plain object in our shapes: a missing message is left out there. */
const comparable = (decoded: unknown): unknown => {
  if (decoded instanceof Uint8Array) return `bytes:${Buffer.from(decoded).toString('hex')}`;
  if (Array.isArray(decoded)) return decoded.map(comparable);
  if (typeof decoded !== 'object' || decoded === null) return decoded ?? undefined;
  const entries = Object.entries(decoded).map(([key, item]) => [key, comparable(item)] as const);
  return Object.fromEntries(entries.filter(([, item]) => item !== undefined));
};

const theirs = (type: protobuf.Type, bytes: Uint8Array): unknown =>
  type.toObject(type.decode(bytes), { longs: BigInt, enums: String, defaults: true, arrays: true, objects: true });

for (const type of messageTypesOf(parseProtos()))
  test(`${type.name}: protobufjs reads what we write and we read what protobufjs writes`, (t) => {
    const ours = messageType(type.name);
    const pick = random(type.name.length * 7919);
    for (let round = 0; round < 5; round += 1) {
      const sent = message(ours, pick);
      const bytes = encodeMessage(ours, sent);
      t.deepEqual(comparable(theirs(type, bytes)), comparable(sent));
      const other = type.encode(type.fromObject(sent)).finish();
      t.deepEqual(comparable(decodeMessage(ours, other)), comparable(sent));
      t.deepEqual(comparable(decodeMessage(ours, bytes)), comparable(sent));
    }
  });
