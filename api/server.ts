import type { Server } from 'node:net';
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import { BerthError } from '../base/errors.ts';
import { socketPath } from './address.ts';
import { type AnyHandler, type CallOptions, Calls, messageLimit } from './calls.ts';
import type { Handlers } from './handlers.ts';
import { listen } from './listen.ts';
import { methods } from './methods.ts';

export interface ServeOptions extends CallOptions {
  /** `unix:///run/berth/berth.sock` */
  readonly address: string;
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
  const socket = await listen(socketPath(options.address), (connection) => {
    // a client that resets its connection is no error of ours; the session above it ends by itself
    connection.on('error', (error) => options.log.debug({ err: error }, 'connection'));
    injector.injectConnection(connection);
  });
  return new ApiServer(socket, grpc, calls);
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

export class ApiServer implements AsyncDisposable {
  readonly #socket: Server;
  readonly #grpc: GrpcServer;
  readonly #calls: Calls;

  constructor(socket: Server, grpc: GrpcServer, calls: Calls) {
    this.#socket = socket;
    this.#grpc = grpc;
    this.#calls = calls;
  }

  /** Takes no new call, gives running ones `graceMs` to end, then aborts their signals and closes. */
  async close(graceMs = 5000): Promise<void> {
    const closed = Promise.all([
      new Promise<void>((resolve) => this.#socket.close(() => resolve())),
      new Promise<void>((resolve) => this.#grpc.tryShutdown(() => resolve())),
    ]);
    const timer = setTimeout(() => {
      this.#calls.abort(new BerthError('unavailable', 'berthd is stopping'));
      this.#grpc.forceShutdown();
    }, graceMs);
    await closed;
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(0);
  }
}
