/** How many still need the bytes of a buffer that came from a connection. What is not in it is left to the collector. */
const needs = new WeakMap<ArrayBufferLike, number>();

/**
 * Says that nothing but `chunk` uses its memory, so that it may be given back with `spent` at once. V8 counts the memory of
 * buffers as if it were its own, and looks through the whole heap every few megabytes of a transfer that it has to free.
 */
export const spendable = (chunk: Buffer): Buffer => {
  // A piece of a larger buffer may have others beside it.
  if (chunk.byteLength === chunk.buffer.byteLength) needs.set(chunk.buffer, 1);
  return chunk;
};

/** One more will say `spent`. */
export const shared = (chunk: Buffer): void => {
  const count = needs.get(chunk.buffer);
  if (count !== undefined) needs.set(chunk.buffer, count + 1);
};

/** After the last who needs it, a spendable chunk is empty. */
export const spent = (chunk: Buffer): void => {
  const count = needs.get(chunk.buffer);
  if (count === undefined) return;
  if (count > 1) {
    needs.set(chunk.buffer, count - 1);
    return;
  }
  needs.delete(chunk.buffer);
  if (chunk.buffer instanceof ArrayBuffer) chunk.buffer.transfer(0);
};
