import protobuf from 'protobufjs/light.js';
import { BerthError, messageOf } from '../base/errors.ts';
import { descriptor } from './generated/descriptor.ts';
import type { Input, Messages } from './generated/types.ts';
import { plain } from './plain.ts';

/** All of api/proto/, without a parser: a third of the time that the .proto files take. */
export const root = protobuf.Root.fromJSON(JSON.parse(descriptor) as protobuf.INamespace);
root.resolveAll();

const types = new Map<string, protobuf.Type>();
const collect = (namespace: protobuf.NamespaceBase): void => {
  for (const item of namespace.nestedArray) {
    if (item instanceof protobuf.Type) types.set(item.name, item);
    if (item instanceof protobuf.Namespace) collect(item);
  }
};
collect(root);

export type MessageName = keyof Messages;

export const typeOf = (name: string): protobuf.Type => {
  const type = types.get(name);
  if (type === undefined) throw new BerthError('internal', `codec: no message ${name}`);
  return type;
};

/** The message's bytes. A field that is left out or undefined has its default. */
export const encode = <Name extends MessageName>(name: Name, value: Input<Messages[Name]>): Buffer =>
  encodeType(typeOf(name), value);

/**
 * The message with every field there: defaults for scalars, `undefined` for a missing message, bigint for 64 bits.
 * Throws `invalid-argument` for bytes that are not this message, for a string that is not UTF-8 and for an enum value
 * that has no name here: what Berth does not know it must not take for the default, since many enums grant rights.
 */
export const decode = <Name extends MessageName>(name: Name, bytes: Uint8Array): Messages[Name] =>
  decodeType(typeOf(name), bytes) as Messages[Name];

export const encodeType = (type: protobuf.Type, value: unknown): Buffer => {
  try {
    return Buffer.from(type.encode(type.fromObject(value as Record<string, unknown>)).finish());
  } catch (error) {
    throw new BerthError('internal', `encode ${type.name}: ${messageOf(error)}`, { cause: error });
  }
};

export const decodeType = (type: protobuf.Type, bytes: Uint8Array): unknown => {
  try {
    return plain(type, type.decode(bytes), bytes);
  } catch (error) {
    throw new BerthError('invalid-argument', `decode ${type.name}: ${messageOf(error)}`, { cause: error });
  }
};

/** The message for a state file: only what is set, 64 bits as decimal text, bytes as base64, enums by name. */
export const toJson = <Name extends MessageName>(name: Name, value: Input<Messages[Name]>): Record<string, unknown> => {
  const type = typeOf(name);
  const message = type.fromObject(value as Record<string, unknown>);
  return type.toObject(message, { longs: String, bytes: String, enums: String });
};

/** The message that `toJson` wrote, with every field there. Throws `data-loss` when it is none. */
export const fromJson = <Name extends MessageName>(name: Name, json: unknown): Messages[Name] => {
  const type = typeOf(name);
  try {
    return plain(type, type.fromObject(json as Record<string, unknown>), undefined) as Messages[Name];
  } catch (error) {
    throw new BerthError('data-loss', `read ${name} from JSON: ${messageOf(error)}`, { cause: error });
  }
};
