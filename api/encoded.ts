import { BerthError } from '../base/errors.ts';
import { encode, type MessageName } from './codec.ts';
import { encodeHead, encodeListItem, writeItem } from './encode.ts';
import type { Input, Messages } from './generated/types.ts';
import { type Field, messageType } from './schema.ts';
import { Writer } from './wire.ts';

/** A response that is bytes already: a handler may answer with it instead of an object. */
export class Encoded {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

type ItemOf<List> = List extends readonly (infer Item extends object)[] ? Item : never;

/** The fields of a message that are lists of messages. */
type Lists<Message> = { [Key in keyof Message]: ItemOf<Message[Key]> extends never ? never : Key }[keyof Message];

/**
 * One item of a list answer as it stands in the answer's bytes: tag, length, message. Kept beside the object and made
 * anew when it changes, so that a list call only joins.
 */
export const encodeItem = <Name extends MessageName, Key extends Lists<Messages[Name]> & string>(
  response: Name,
  field: Key,
  item: Input<ItemOf<Messages[Name][Key]>>,
): Uint8Array => encodeListItem(listOf(response, field), item);

/** A whole answer, encoded once for several who get it. */
export const encodeMessage = <Name extends MessageName>(name: Name, message: Input<Messages[Name]>): Encoded =>
  new Encoded(encode(name, message));

/**
 * A field that is a message, or one item of a list of them, with its tag and length: `parts` together are the message's
 * bytes, since in protobuf's encoding the fields of a message may be written one after the other by different writers.
 */
export const encodeField = <Name extends MessageName, Key extends keyof Messages[Name] & string>(
  message: Name,
  field: Key,
  parts: readonly Uint8Array[],
): Uint8Array => Buffer.concat(fieldParts(message, field, parts));

/** The same without joining them. */
export const fieldParts = <Name extends MessageName, Key extends keyof Messages[Name] & string>(
  message: Name,
  field: Key,
  parts: readonly Uint8Array[],
): readonly Uint8Array[] => {
  const found = messageType(message).fields.find(({ name }) => name === field);
  if (found?.kind !== 'message' || found.list === 'map')
    throw new BerthError('internal', `encode ${message}.${field}: not a message`);
  return [
    encodeHead(
      found,
      parts.reduce((sum, part) => sum + part.length, 0),
    ),
    ...parts,
  ];
};

/** The items of a list that share parts: what several of them have is encoded once. */
export class ListEncoder<Name extends MessageName, Key extends Lists<Messages[Name]> & string> {
  readonly #field: Field;
  readonly #writer: Writer;

  /** `expected` bytes, or more. */
  constructor(message: Name, field: Key, expected: number) {
    this.#field = listOf(message, field);
    this.#writer = new Writer(expected);
  }

  add(shared: readonly Uint8Array[], rest: Input<ItemOf<Messages[Name][Key]>>): void {
    writeItem(this.#writer, this.#field, shared, rest);
  }

  /** All items with their tags and lengths; nothing can be added then. */
  finish(): Uint8Array {
    return this.#writer.written();
  }
}

const listOf = (message: string, field: string): Field => {
  const found = messageType(message).fields.find(({ name }) => name === field);
  if (found?.list !== 'list' || found.kind !== 'message')
    throw new BerthError('internal', `encode ${message}.${field}: not a list of messages`);
  return found;
};

/** The answer whose one list has these items, each from `encodeItem` or `encodeField`. */
export const joinItems = (items: readonly Uint8Array[]): Encoded => new Encoded(Buffer.concat(items));

/** The same for items that are made one after the other. */
export const joinAll = async (items: AsyncIterable<Uint8Array>): Promise<Encoded> => {
  const all: Uint8Array[] = [];
  for await (const item of items) all.push(item);
  return joinItems(all);
};

/** What one answer of a stream holds about: small enough to be sent while the next is made. */
const pageBytes = 256 << 10;

/** The same as a stream of answers, each item once and in order; an item that is larger than a page has one alone. */
export async function* pagesOf(items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): AsyncGenerator<Encoded> {
  let page: Uint8Array[] = [];
  let bytes = 0;
  for await (const item of items) {
    if (bytes > 0 && bytes + item.length > pageBytes) {
      yield joinItems(page);
      page = [];
      bytes = 0;
    }
    page.push(item);
    bytes += item.length;
  }
  if (page.length > 0) yield joinItems(page);
}
