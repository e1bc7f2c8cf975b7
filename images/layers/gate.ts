import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { invalid } from '../../base/errors.ts';
import { removeTree, setMode } from '../../base/files.ts';

/** Linux's limit for the path of a unix socket, in bytes. */
const longestPath = 107;
const tokenBytes = 32;
const greetingMs = 10_000;
/** So many bytes of a layer wait for its helper before the network is made to. */
const mostWaiting = 1 << 18;

export interface Door extends Disposable {
  readonly token: string;
  /** The connection of the helper that shows the token; rejects when the door is closed before. */
  readonly socket: Promise<Socket>;
}

/** The one socket that unpackers connect to. Each must show its token, a line of hex, before it gets a byte. */
export class Gate implements AsyncDisposable {
  readonly path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #doors = new Map<string, (socket: Socket) => void>();

  private constructor(path: string) {
    this.path = path;
    this.#server = createServer({ highWaterMark: mostWaiting }, (socket) => this.#greet(socket));
  }

  /** `path` is in a directory that only root may enter. */
  static async open(path: string): Promise<Gate> {
    if (Buffer.byteLength(path) > longestPath)
      throw invalid(`images: the socket ${path} is longer than ${longestPath} bytes; choose a shorter root directory`);
    await removeTree(path);
    const gate = new Gate(path);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    gate.#server.once('error', reject).listen(path, resolve);
    await promise;
    await setMode(path, 0o600);
    return gate;
  }

  expect(what: string): Door {
    const token = randomBytes(tokenBytes).toString('hex');
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    promise.catch(() => undefined);
    this.#doors.set(token, resolve);
    const close = (): void => {
      this.#doors.delete(token);
      reject(Object.assign(new Error(`${what}: the unpacker ended before it connected`), { code: 'EPIPE' }));
    };
    return { token, socket: promise, [Symbol.dispose]: close };
  }

  #greet(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(greetingMs, () => socket.destroy());
    let line = '';
    const read = (chunk: Buffer): void => {
      line += chunk.toString('latin1');
      if (!line.includes('\n') && line.length <= tokenBytes * 2) return;
      socket.off('data', read);
      this.#admit(line, socket);
    };
    socket.on('data', read);
  }

  #admit(line: string, socket: Socket): void {
    const token = line.slice(0, -1);
    const open = line.endsWith('\n') ? this.#doors.get(token) : undefined;
    if (open === undefined) {
      socket.destroy();
      return;
    }
    this.#doors.delete(token);
    socket.setTimeout(0);
    open(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    for (const socket of this.#sockets) socket.destroy();
    await promise;
  }
}
