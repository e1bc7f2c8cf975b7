import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { WebSocket } from 'ws';
import { BerthError, messageOf } from '../../base/errors.ts';
import type { Dial } from './local.ts';

/** The channels of `channel.k8s.io`; CLOSE (v5) closes the one that its second byte names. */
export const Channel = { STDIN: 0, STDOUT: 1, STDERR: 2, STATUS: 3, RESIZE: 4, CLOSE: 255 } as const;

const handshakeMs = 10_000;
const closeMs = 5000;
/** What may wait for the daemon before no more is read of who writes. */
const highWater = 1 << 20;
const lookAgainMs = 5;

/** A WebSocket whose messages begin with the number of a channel. Errors: `failed-precondition`. */
export class Channels {
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  static async open(url: string, protocol: string, signal: AbortSignal, dial?: Dial): Promise<Channels> {
    const connection = await dial?.();
    const socket = new WebSocket(url.replace(connection === undefined ? /^http/ : /^https?/, 'ws'), [protocol], {
      ...(connection && { createConnection: () => connection }),
      handshakeTimeout: handshakeMs,
      // An address of this machine, which the daemon has given over its own socket: who else would answer there? Its
      // certificate is for kubelet, and names the node or nothing that this system trusts.
      rejectUnauthorized: false,
      perMessageDeflate: false,
    });
    const abort = (): void => socket.terminate();
    signal.addEventListener('abort', abort, { once: true });
    socket.on('error', () => undefined);
    socket.once('close', () => signal.removeEventListener('abort', abort));
    // Nothing of what comes may be lost before somebody listens.
    socket.once('open', () => socket.pause());
    try {
      if (signal.aborted) abort();
      await once(socket, 'open');
    } catch (error) {
      throw new BerthError('failed-precondition', `connect to ${new URL(url).host}: ${messageOf(error)}`, {
        cause: error,
      });
    }
    return new Channels(socket);
  }

  /** Every message until the connection ends; `take` gives a stream that is to drain before the next one. */
  async read(take: (channel: number, bytes: Buffer) => Writable | undefined): Promise<void> {
    const socket = this.#socket;
    socket.on('message', (data: Buffer) => {
      const full = take(data[0] ?? 0, data.subarray(1));
      // One that is gone takes nothing more, and will not drain either.
      if (full === undefined || full.destroyed) return;
      const go = (): void => {
        full.off('drain', go).off('close', go);
        socket.resume();
      };
      socket.pause();
      full.on('drain', go).on('close', go);
    });
    socket.resume();
    if (socket.readyState !== WebSocket.CLOSED) await once(socket, 'close');
  }

  /** Resolves when there is room for more. */
  async write(channel: number, bytes: Uint8Array): Promise<void> {
    const message = Buffer.allocUnsafe(bytes.length + 1);
    message[0] = channel;
    message.set(bytes, 1);
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(message);
    while (this.#socket.readyState === WebSocket.OPEN && this.#socket.bufferedAmount > highWater)
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }

  /** At once, whatever is still on its way. */
  destroy(): void {
    this.#socket.terminate();
  }

  /** What was written goes first; a daemon that does not answer the end within seconds is left. */
  close(): void {
    const socket = this.#socket;
    socket.close();
    const late = setTimeout(() => socket.terminate(), closeMs);
    late.unref();
    socket.once('close', () => clearTimeout(late));
  }

  get closed(): boolean {
    return this.#socket.readyState !== WebSocket.OPEN;
  }
}
