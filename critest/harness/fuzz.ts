import { enumType, type Field, type MessageType, messageType } from '../../api/schema.ts';

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
export const seeded = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

const odd = [
  '',
  '/',
  '..',
  '../../../etc',
  '/../../x',
  'a\u0000b',
  'a\nb',
  '\u202e',
  '-rf',
  '*',
  '%s%n',
  '__proto__',
  'constructor',
  'sha256:',
  `sha256:${'0'.repeat(64)}`,
  '0',
  '-1',
  '4294967296',
  'true',
  ' ',
  'ä'.repeat(300),
  'x'.repeat(5000),
];
const numbers = [0n, 1n, -1n, 2n, 100n, 65535n, 65536n, 2n ** 31n - 1n, -(2n ** 31n)];
const wide = [2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)];

/** Random requests: each field missing or odd; strings of `known` (ids, names, paths that are there) are mixed in. */
export class Fuzzer {
  readonly #random: () => number;
  readonly #known: readonly string[];

  constructor(seed: number, known: readonly string[]) {
    this.#random = seeded(seed);
    this.#known = known;
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  request(name: string): Record<string, unknown> {
    return this.#message(messageType(name), 0);
  }

  #message(type: MessageType, depth: number): Record<string, unknown> {
    const fields = type.fields.filter(() => this.#random() < (depth === 0 ? 0.8 : 0.4));
    return Object.fromEntries(fields.map((field) => [field.name, this.#field(field, depth)]));
  }

  #field(field: Field, depth: number): unknown {
    const count = this.below(3);
    if (field.list === 'list') return Array.from({ length: count }, () => this.#value(field, depth));
    if (field.list === 'map')
      return Object.fromEntries(Array.from({ length: count }, () => [this.#text(), this.#text()]));
    return this.#value(field, depth);
  }

  #value(field: Field, depth: number): unknown {
    switch (field.kind) {
      case 'string':
        return this.#text();
      case 'bytes':
        return Buffer.from(this.#text());
      case 'bool':
        return this.below(2) === 1;
      case 'double':
        return this.#one([0, 1, -1, 1e300, 0.5]);
      case 'enum':
        return this.#one([...enumType(field.type).names.values()]);
      case 'message':
        return depth > 6 ? {} : this.#message(messageType(field.type), depth + 1);
      default:
        return this.#number(field.kind);
    }
  }

  #number(kind: string): bigint | number {
    const unsigned = kind.startsWith('u');
    const value = this.#one(kind.endsWith('64') ? [...numbers, ...wide] : numbers);
    const fitting = unsigned && value < 0n ? -value - 1n : value;
    return kind.endsWith('64') ? fitting : Number(fitting);
  }

  #text(): string {
    return this.#one(this.below(3) === 0 ? odd : this.#known);
  }

  #one<T>(values: readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new Error('fuzz: nothing to choose from');
    return value;
  }
}
