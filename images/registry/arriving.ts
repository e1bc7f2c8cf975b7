import type { Readable } from 'node:stream';

/** Fewer bytes are let wait: there is always one chunk that comes while another is passed on. */
const mostWaiting = 1 << 18;

const cut = (): Error => Object.assign(new Error('premature close'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });

/**
 * The chunks of a stream as they came. Its own iterator joins those that wait into a new one, which copies nearly every byte
 * of a quick transfer once more. Leaving it before the end destroys the stream, and so does an error.
 */
export async function* arriving(stream: Readable): AsyncGenerator<Buffer> {
  const chunks: Buffer[] = [];
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
      const chunk = chunks.shift();
      if (chunk !== undefined) {
        waiting -= chunk.length;
        if (stream.isPaused() && waiting < mostWaiting / 2) stream.resume();
        yield chunk;
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
