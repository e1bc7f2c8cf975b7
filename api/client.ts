import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Client as GrpcClient,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { BerthError } from '../base/errors.ts';
import { socketPath } from './address.ts';
import { messageLimit } from './calls.ts';
import { decode, encode } from './codec.ts';
import type { Input, Rpcs } from './generated/types.ts';
import { type Method, methods, type RpcName } from './methods.ts';
import { fromStatus } from './status.ts';

export interface CallSettings {
  readonly signal?: AbortSignal;
  /** The server learns it too. None means no limit, or the one given to `connect`. */
  readonly timeoutMs?: number;
}

type Request<Name extends RpcName> = Rpcs[Name]['requestStream'] extends true
  ? AsyncIterable<Input<Rpcs[Name]['request']>>
  : Input<Rpcs[Name]['request']>;

type Remote<Name extends RpcName> = (
  request: Request<Name>,
  settings?: CallSettings,
) => Rpcs[Name]['stream'] extends true ? AsyncIterable<Rpcs[Name]['response']> : Promise<Rpcs[Name]['response']>;

/** Every RPC as a method. Failures are BerthErrors with the server's code; `unavailable` also when nobody listens. */
export type Client = { readonly [Name in RpcName]: Remote<Name> } & Disposable & {
    close(): void;
    /** Resolves when the connection stands; throws `unavailable`. */
    ready(timeoutMs: number): Promise<void>;
  };

/** Connects when the first call needs it, and again when the daemon comes back. */
export const connect = (address: string, defaults: CallSettings = {}): Client => {
  const grpc = new GrpcClient(`unix:${socketPath(address)}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': messageLimit,
    'grpc.max_send_message_length': messageLimit,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_channelz': 0,
  });
  const calls = methods.map((method) => [method.name, remote(grpc, method, defaults)] as const);
  const close = (): void => grpc.close();
  const ready = (timeoutMs: number): Promise<void> => waitForReady(grpc, address, timeoutMs);
  return { ...Object.fromEntries(calls), close, ready, [Symbol.dispose]: close } as Client;
};

const waitForReady = (grpc: GrpcClient, address: string, timeoutMs: number): Promise<void> =>
  new Promise((resolve, reject) => {
    grpc.waitForReady(Date.now() + timeoutMs, (error) => {
      if (error === undefined) resolve();
      else reject(new BerthError('unavailable', `connect to ${address}: no answer in ${timeoutMs} ms`));
    });
  });

const remote = (grpc: GrpcClient, method: Method, defaults: CallSettings) => {
  const call = method.requestStream ? duplex : method.stream ? streaming : unary;
  return (request: unknown, settings: CallSettings = {}): unknown =>
    call(grpc, method, request, { ...defaults, ...settings });
};

const codecOf = (method: Method) => ({
  serialize: (value: unknown): Buffer => encode(method.request, value as never),
  deserialize: (bytes: Buffer): unknown => decode(method.response, bytes),
});

const optionsOf = (settings: CallSettings) =>
  settings.timeoutMs === undefined ? {} : { deadline: Date.now() + settings.timeoutMs };

const toError = (method: Method, error: ServiceError): BerthError => {
  const refused = /^No connection established\b.*\bconnect (E[A-Z]+) (\S+?)\.?(?:\s|$)/.exec(error.details);
  if (refused !== null) return fromStatus(error.code, `${method.name}: connect to ${refused[2]}: ${refused[1]}`);
  return fromStatus(error.code, error.details === '' ? `${method.name}: failed without a message` : error.details);
};

const mostRefusals = 10;
const refusedPauseMs = 20;

/**
 * HTTP/2's REFUSED_STREAM: a daemon that ends has not looked at the call, so it may be made again, on the connection that comes.
 * grpc-js tries once more at once, which may meet the same connection.
 */
const isRefused = (error: unknown): boolean =>
  error instanceof BerthError && error.code === 'unavailable' && error.message === 'Stream refused by server';

const unary = async (grpc: GrpcClient, method: Method, request: unknown, settings: CallSettings): Promise<unknown> => {
  for (let refusals = 0; ; refusals += 1) {
    try {
      return await unaryOnce(grpc, method, request, settings);
    } catch (error) {
      if (refusals === mostRefusals || !isRefused(error)) throw error;
    }
    await sleep(refusedPauseMs);
  }
};

const unaryOnce = (grpc: GrpcClient, method: Method, request: unknown, settings: CallSettings): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const { serialize, deserialize } = codecOf(method);
    const { signal } = settings;
    signal?.throwIfAborted();
    const cancel = (): void => call.cancel();
    const call = grpc.makeUnaryRequest(
      method.path,
      serialize,
      deserialize,
      request,
      new Metadata(),
      optionsOf(settings),
      (error, value) => {
        signal?.removeEventListener('abort', cancel);
        if (error === null) resolve(value);
        else reject(toError(method, error));
      },
    );
    signal?.addEventListener('abort', cancel, { once: true });
  });

async function* streaming(grpc: GrpcClient, method: Method, request: unknown, settings: CallSettings) {
  const { serialize, deserialize } = codecOf(method);
  const { signal } = settings;
  signal?.throwIfAborted();
  const call = grpc.makeServerStreamRequest(
    method.path,
    serialize,
    deserialize,
    request,
    new Metadata(),
    optionsOf(settings),
  );
  yield* answersOf(call, method, signal);
}

/** Sends the requests while the answers are read. Both ends hold up the other; an error of the requests ends the call. */
async function* duplex(grpc: GrpcClient, method: Method, requests: unknown, settings: CallSettings) {
  const { serialize, deserialize } = codecOf(method);
  const { signal } = settings;
  signal?.throwIfAborted();
  const call = grpc.makeBidiStreamRequest(method.path, serialize, deserialize, new Metadata(), optionsOf(settings));
  let failed: { readonly cause: unknown } | undefined;
  // Not waited for: its next request may never come.
  sendAll(call, requests as AsyncIterable<unknown>).catch((cause: unknown) => {
    failed = { cause };
    call.cancel();
  });
  try {
    yield* answersOf(call, method, signal);
  } catch (error) {
    throw failed === undefined ? error : failed.cause;
  }
}

const sendAll = async (call: ClientDuplexStream<unknown, unknown>, requests: AsyncIterable<unknown>): Promise<void> => {
  const over = new AbortController();
  call.once('status', () => over.abort());
  for await (const request of requests) {
    if (over.signal.aborted) return;
    if (!call.write(request)) await once(call, 'drain', { signal: over.signal }).catch(() => undefined);
  }
  call.end();
};

async function* answersOf(
  call: ClientReadableStream<unknown> | ClientDuplexStream<unknown, unknown>,
  method: Method,
  signal: AbortSignal | undefined,
) {
  const cancel = (): void => call.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    yield* call;
  } catch (error) {
    throw isServiceError(error) ? toError(method, error) : error;
  } finally {
    signal?.removeEventListener('abort', cancel);
    call.cancel();
  }
}

const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
