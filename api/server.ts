import { lstat } from 'node:fs/promises';
import type { Server, Socket } from 'node:net';
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import { BerthError, orMissing } from '../base/errors.ts';
import { type InheritedSocket, isBoundAt } from './activation.ts';
import { socketPath } from './address.ts';
import { type AnyHandler, type CallOptions, Calls, messageLimit, type RunningCall } from './calls.ts';
import type { Handlers } from './handlers.ts';
import { adopt, listen } from './listen.ts';
import { methods } from './methods.ts';

export interface ServeOptions extends CallOptions {
  /** `unix:///run/berth/berth.sock` */
  readonly address: string;
  /** Served as well; where one of them is at `address`, and still there, nothing is bound. */
  readonly inherited?: readonly InheritedSocket[];
  /** From when on: until then their callers wait instead of being told `unavailable`. Default: at once. */
  readonly settled?: Promise<void>;
}

/** Serves RuntimeService, ImageService and Admin. Throws `invalid-argument` or `failed-precondition` for the address. */
export const serve = async (handlers: Handlers, options: ServeOptions): Promise<ApiServer> => {
  const calls = new Calls(options);
  const grpc = new GrpcServer({
    'grpc.max_receive_message_length': messageLimit,
    'grpc.max_send_message_length': messageLimit,
    'grpc.enable_channelz': 0,
  });
  register(grpc, handlers, calls);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = new Set<Socket>();
  const serveConnection = (connection: Socket): void => {
    connections.add(connection);
    connection.on('close', () => connections.delete(connection));
    // a client that resets its connection is no error of ours; the session above it ends by itself
    connection.on('error', (error) => options.log.debug({ err: error }, 'connection'));
    injector.injectConnection(connection);
  };
  return new ApiServer(await openSockets(options, serveConnection), connections, grpc, calls);
};

const openSockets = async (
  { address, inherited = [], settled = Promise.resolve(), log }: ServeOptions,
  serveConnection: (connection: Socket) => void,
): Promise<readonly Server[]> => {
  const own = socketPath(address);
  // one whose file is gone is reached by nobody: the daemon then binds another
  const isBound = (await isBoundAt(inherited, own)) && (await orMissing(lstat(own))) !== undefined;
  const bound = isBound ? [] : [await listen(own, serveConnection)];
  const onError = (error: BerthError): void => log.error({ error: error.message }, 'an inherited socket is not served');
  return [...bound, ...inherited.map((socket) => adopt(socket, serveConnection, { from: settled, onError }))];
};

/** Messages pass gRPC as bytes: decoding and its errors belong to the interceptor. */
const register = (grpc: GrpcServer, handlers: Handlers, calls: Calls): void => {
  const bytes = (value: Uint8Array): Buffer => Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  for (const method of methods) {
    const handler = handlers[method.name] as AnyHandler | undefined;
    if (method.requestStream) grpc.register(method.path, calls.duplex(method, handler), bytes, bytes, 'bidi');
    else if (method.stream) grpc.register(method.path, calls.stream(method, handler), bytes, bytes, 'serverStream');
    else grpc.register(method.path, calls.unary(method, handler), bytes, bytes, 'unary');
  }
};

/** Clients that read are told in that time. */
const toTellMs = 200;

export class ApiServer implements AsyncDisposable {
  readonly #sockets: readonly Server[];
  readonly #connections: ReadonlySet<Socket>;
  readonly #grpc: GrpcServer;
  readonly #calls: Calls;

  constructor(sockets: readonly Server[], connections: ReadonlySet<Socket>, grpc: GrpcServer, calls: Calls) {
    this.#sockets = sockets;
    this.#connections = connections;
    this.#grpc = grpc;
    this.#calls = calls;
  }

  /** The calls that have not ended, with the performance.now() of their begin. */
  running(): Iterable<Pick<RunningCall, 'method' | 'started'>> {
    return this.#calls.running();
  }

  /**
   * Takes no new call, ends the streams, gives the others `graceMs` to end, then aborts their signals and closes. The calls
   * of clients that the end of their connection reaches before they were begun are theirs to send again, as gRPC does. Who does not
   * read is not waited for.
   */
  async close(graceMs = 5000): Promise<void> {
    const stopping = new BerthError('unavailable', 'berthd is stopping');
    const closed = Promise.all([
      ...this.#sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
      new Promise<void>((resolve) => this.#grpc.tryShutdown(() => resolve())),
    ]);
    this.#calls.abort(stopping, { streams: true });
    const timer = setTimeout(() => {
      this.#calls.abort(stopping);
      this.#grpc.forceShutdown();
    }, graceMs);
    // Node's sessions wait for what they have written to be read, also when they are destroyed.
    const last = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs + toTellMs);
    await closed;
    clearTimeout(timer);
    clearTimeout(last);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(0);
  }
}
