import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import { socketPath } from '../../api/address.ts';
import { startingMessage } from '../../api/calls.ts';
import { messageOf } from '../../base/errors.ts';

/** A busy node may take its time; one that takes longer serves nobody. */
const defaultLimitMs = 10_000;
/** An answer takes a handful of turns of the event loop; so many it may have, however long each is. */
const parts = 50;

const headers = {
  ':method': 'POST',
  ':path': '/runtime.v1.RuntimeService/Version',
  'content-type': 'application/grpc',
  te: 'trailers',
};

/** Not compressed, and empty: a VersionRequest without a version. */
const message = Buffer.alloc(5);

/**
 * Whether the daemon answers a call over its own CRI socket, by a new connection each time. `/healthz` and systemd's watchdog
 * ask it. Callers at the same time share one check.
 */
export class SelfCheck {
  readonly #path: string;
  #current: Promise<string | undefined> | undefined;

  /** `address`: `unix:///path`. */
  constructor(address: string) {
    this.#path = socketPath(address);
  }

  /**
   * What is wrong; undefined while all is well, also while the daemon is starting. The first one's limit holds for all; it counts the
   * time in which this process could have read an answer. Never throws.
   */
  problem(limitMs = defaultLimitMs): Promise<string | undefined> {
    this.#current ??= this.#ask(limitMs).finally(() => {
      this.#current = undefined;
    });
    return this.#current;
  }

  /** Not by api/client.ts: gRPC's client keeps a connection that was never answered for long after it was closed. */
  async #ask(limitMs: number): Promise<string | undefined> {
    const socket = connectSocket(this.#path);
    const session = connect('http://localhost', { createConnection: () => socket });
    using late = new Late(limitMs);
    try {
      const problem = await Promise.race([answerOf(socket, session), late.promise]);
      return problem && `Version over ${this.#path}: ${problem}`;
    } catch (error) {
      return `Version over ${this.#path}: ${messageOf(error)}`;
    } finally {
      session.destroy();
      socket.destroy();
    }
  }
}

/**
 * After a time in which the event loop was blocked or the process stopped, timers come first and what has arrived meanwhile second:
 * such a time counts as one part of the limit, and the question is who answers afterwards. How long it was, systemd sees by itself.
 */
class Late implements Disposable {
  readonly promise: Promise<string>;
  readonly #timer: NodeJS.Timeout;

  constructor(limitMs: number) {
    const { promise, resolve } = Promise.withResolvers<string>();
    let left = parts;
    this.promise = promise;
    this.#timer = setInterval(() => {
      left -= 1;
      if (left === 0) resolve(`no answer in ${limitMs} ms`);
    }, limitMs / parts);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

const answerOf = (socket: Socket, session: ClientHttp2Session): Promise<string | undefined> =>
  new Promise((resolve) => {
    const failed = (error: unknown): void => resolve(messageOf(error));
    // first, since the session has only words of its own for it
    socket.on('error', failed);
    session.on('error', failed);
    session.on('close', () => resolve('the connection was closed'));
    const call = session.request(headers);
    // without a message the status stands in the headers
    for (const event of ['response', 'trailers'] as const)
      call.on(event, (received: IncomingHttpHeaders) => {
        if (received['grpc-status'] !== undefined) resolve(problemIn(received));
      });
    call.on('error', failed);
    call.resume();
    call.end(message);
  });

const problemIn = (trailers: IncomingHttpHeaders): string | undefined => {
  const status = trailers['grpc-status'];
  const text = decoded(String(trailers['grpc-message'] ?? ''));
  return status === '0' || text === startingMessage ? undefined : `status ${status}: ${text}`;
};

/** Who answers there may be somebody else, and write anything. */
const decoded = (text: string): string => {
  try {
    return decodeURI(text);
  } catch {
    return text;
  }
};
