import type { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { spendable, spent } from '../blobs/spent.ts';

/** What has come is passed on in pieces of about so many bytes: each costs a dozen turns on its way. */
const batch = 1 << 18;
/** With so much waiting, no more is read. */
const mostWaiting = 2 * batch;

const cut = (): Error => Object.assign(new Error('premature close'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });

/**
 * What comes of a stream, the chunks that one turn of the event loop brings joined. Its own iterator waits for nothing, and
 * passes on 64 KiB at a time. Leaving it before the end destroys the stream, and so does an error.
 */
export async function* arriving(stream: Readable): AsyncGenerator<Buffer> {
  let chunks: Buffer[] = [];
  let waiting = 0;
  let end: { readonly error?: unknown } | undefined;
  let wake: () => void = () => undefined;
  const finish = (error?: unknown): void => {
    end ??= { error };
    wake();
  };
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    waiting += chunk.length;
    if (waiting >= mostWaiting) stream.pause();
    wake();
  });
  const close = (): void => finish(stream.readableEnded ? undefined : (stream.errored ?? cut()));
  stream
    .once('end', () => finish())
    .on('error', finish)
    .once('close', close);
  // What happened before will not be told again.
  if (stream.destroyed) close();
  try {
    for (;;) {
      if (chunks.length > 0) {
        if (waiting < batch && end === undefined) await setImmediate();
        const taken = chunks;
        chunks = [];
        waiting = 0;
        if (stream.isPaused()) stream.resume();
        yield joined(taken);
      } else if (end?.error !== undefined) throw end.error;
      else if (end !== undefined) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    stream.destroy();
  }
}

const joined = (chunks: readonly Buffer[]): Buffer => {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined) return spendable(first);
  const all = Buffer.allocUnsafeSlow(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    at += chunk.copy(all, at);
    spent(spendable(chunk));
  }
  return spendable(all);
};
