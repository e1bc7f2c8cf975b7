import { once } from 'node:events';
import type { ClientRequest } from 'node:http';

/** What is sent: whole, or as it comes, then with a Content-Length of the caller's. */
export type Body = string | Uint8Array | AsyncIterable<Buffer>;

/**
 * Sends the body and ends the request. Stops when the reply is there before all is sent, since that is a refusal. `onProgress`
 * is called when the connection has taken something.
 */
export const sendBody = (request: ClientRequest, body: Body | undefined, onProgress: () => void): void => {
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) request.end(body);
  else
    stream(request, body, onProgress).catch((error: unknown) => {
      request.destroy(error instanceof Error ? error : new Error(String(error)));
    });
};

const stream = async (request: ClientRequest, chunks: AsyncIterable<Buffer>, onProgress: () => void): Promise<void> => {
  const over = new AbortController();
  request.once('response', (response) => {
    over.abort();
    // A request that was not sent to its end cannot be followed by another.
    response.once('close', () => !request.writableEnded && request.destroy());
  });
  request.once('close', () => over.abort());
  for await (const chunk of chunks) {
    if (over.signal.aborted) return;
    if (!request.write(chunk)) await once(request, 'drain', { signal: over.signal }).catch(() => undefined);
    onProgress();
  }
  request.end();
};
