import { constants, inflateRawSync } from 'node:zlib';
import { invalid, messageOf } from '../../../base/errors.ts';
import { dictionary, dictionaryId } from './dictionary.ts';

/** Names in lower case. A name's several values stand in one text with zero bytes between. */
export type Headers = ReadonlyMap<string, string>;

/** Of one block, inflated. Those of kubelet and kubectl have a hundred bytes. */
const blockLimit = 64 << 10;
/** How far back deflate can point. */
const windowBytes = 32 << 10;
/** CMF, FLG and the dictionary's id. */
const prefixBytes = 6;

/**
 * Reads the header blocks of one direction of a connection, in their order: they are one zlib stream. SPDY flushes it
 * after each block, so each is whole deflate blocks that end on a byte, and the text before it is all that is needed:
 * there is no context to free. Errors: `invalid-argument`; nothing more can be read after one.
 */
export class HeaderReader {
  #window: Buffer | undefined;

  read(block: Buffer): Headers {
    const deflated = this.#window === undefined ? withoutPrefix(block) : block;
    const window = this.#window ?? dictionary;
    const bytes = inflate(deflated, window);
    this.#window = Buffer.concat([window, bytes]).subarray(-windowBytes);
    return parse(bytes);
  }
}

const withoutPrefix = (block: Buffer): Buffer => {
  if (block.length < prefixBytes) throw invalid(`SPDY header block: ${block.length} bytes are no zlib stream`);
  const isDeflate = (block.readUInt8(0) & 0xf) === 8 && block.readUInt16BE(0) % 31 === 0;
  if (!isDeflate || (block.readUInt8(1) & 0x20) === 0 || block.readUInt32BE(2) !== dictionaryId)
    throw invalid("SPDY header block: not deflated against SPDY/3's dictionary");
  return block.subarray(prefixBytes);
};

const inflate = (deflated: Buffer, window: Buffer): Buffer => {
  const finishFlush = constants.Z_SYNC_FLUSH; // the stream goes on: its end is no error
  try {
    return inflateRawSync(deflated, { dictionary: window, finishFlush, maxOutputLength: blockLimit });
  } catch (error) {
    throw invalid(`SPDY header block: ${messageOf(error)}`);
  }
};

const parse = (bytes: Buffer): Headers => {
  const headers = new Map<string, string>();
  let at = 0;
  const take = (length: number): Buffer => {
    if (length > bytes.length - at)
      throw invalid(`SPDY header block: ends at ${bytes.length}, in a field of ${length} bytes`);
    at += length;
    return bytes.subarray(at - length, at);
  };
  const text = (): string => take(take(4).readUInt32BE()).toString('latin1');
  for (let left = take(4).readUInt32BE(); left > 0; left -= 1) {
    const name = text().toLowerCase();
    if (headers.has(name)) throw invalid(`SPDY header block: has ${name} twice`);
    headers.set(name, text());
  }
  return headers;
};

/**
 * Writes header blocks of one direction. What a server says has no headers worth the work, so nothing is compressed:
 * blocks are stored, which needs no context either.
 */
export class HeaderWriter {
  #started = false;

  write(headers: Headers): Buffer {
    const bytes = Buffer.concat([
      number(headers.size),
      ...[...headers].flatMap(([name, value]) => [field(name), field(value)]),
    ]);
    const prefix = this.#started ? [] : [Buffer.of(0x78, 0xbb), number(dictionaryId)];
    this.#started = true;
    return Buffer.concat([...prefix, stored(bytes), bytes, flush]);
  }
}

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

const field = (text: string): Buffer =>
  Buffer.concat([number(Buffer.byteLength(text, 'latin1')), Buffer.from(text, 'latin1')]);

/** A stored block's first bytes (RFC 1951, section 3.2.4): not the last one, the length and its complement. */
const stored = ({ length }: Buffer): Buffer => {
  if (length > 0xffff) throw invalid(`SPDY header block: ${length} bytes to write`);
  const head = Buffer.alloc(5);
  head.writeUInt16LE(length, 1);
  head.writeUInt16LE(~length & 0xffff, 3);
  return head;
};

/** What zlib writes for Z_SYNC_FLUSH; Go's inflate gives nothing out before it has read one. */
const flush = stored(Buffer.alloc(0));
