import type { Socket } from 'node:net';

/**
 * Connections that have not shown a token, and cost memory and a descriptor each. Whoever reaches the port can open them,
 * so beyond `most` the oldest goes: the next client is never kept out by those that only wait.
 */
export class Strangers {
  readonly #most: number;
  /** By their other end: a connection with TLS has two objects. The oldest is the first. */
  readonly #sockets = new Map<string, Socket>();

  constructor(most: number) {
    this.#most = most;
  }

  add(socket: Socket): void {
    const name = nameOf(socket);
    this.#sockets.set(name, socket);
    socket.once('close', () => {
      if (this.#sockets.get(name) === socket) this.#sockets.delete(name);
    });
    if (this.#sockets.size > this.#most) this.#sockets.values().next().value?.destroy();
  }

  /** It has shown a token, and stays as long as its session. */
  admit(socket: Socket): void {
    this.#sockets.delete(nameOf(socket));
  }
}

const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;
