import protobuf from 'protobufjs/light.js';
import { BerthError } from '../base/errors.ts';
import { encode, type MessageName, typeOf } from './codec.ts';
import type { Input, Messages } from './generated/types.ts';

/** A response that is bytes already: a handler may answer with it instead of an object. */
export class Encoded {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** The fields of a message that are lists of messages. */
type Lists<Message> = {
  [Key in keyof Message]: Message[Key] extends readonly (infer Item extends object)[]
    ? Item extends Uint8Array
      ? never
      : Key
    : never;
}[keyof Message];
type ItemOf<Message, Key extends keyof Message> = Message[Key] extends readonly (infer Item)[] ? Item : never;

/**
 * One item of a list answer as it stands in the answer's bytes: tag, length, message. Kept beside the object and made
 * anew when it changes, so that a list call only joins (500 containers: 4.0 → 0.24 ms).
 */
export const encodeItem = <Name extends MessageName, Key extends Lists<Messages[Name]> & string>(
  response: Name,
  field: Key,
  item: Input<ItemOf<Messages[Name], Key>>,
): Uint8Array => {
  const definition = typeOf(response).fields[field];
  const type = definition?.resolvedType;
  if (!(type instanceof protobuf.Type) || definition === undefined)
    throw new BerthError('internal', `encode ${response}.${field}: not a list of messages`);
  const bytes = encode(type.name as MessageName, item as never);
  const writer = protobuf.Writer.create();
  return Buffer.from(
    writer
      .uint32((definition.id << 3) | 2)
      .bytes(bytes)
      .finish(),
  );
};

/** The answer whose one list has these items, each from `encodeItem`. */
export const joinItems = (items: readonly Uint8Array[]): Encoded => new Encoded(Buffer.concat(items));
