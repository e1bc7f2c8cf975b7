import { type EventEmitter, once } from 'node:events';
import type { Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import type { ServerSurfaceCall } from '@grpc/grpc-js/build/src/server-call.js';
import { BerthError, codeOf, messageOf } from '../base/errors.ts';
import { inCall } from '../base/step.ts';
import { idsOf, logCall } from './call-log.ts';
import { decode, encode } from './codec.ts';
import { Encoded } from './encoded.ts';
import { Feed, sinkOf } from './feed.ts';
import type { Call, Log } from './handlers.ts';
import type { Method } from './methods.ts';
import { callSeconds } from './metrics.ts';
import { toStatus } from './status.ts';

/** 16 MiB, both ways: a node's list of containers outgrows gRPC's default of 4 (containerd#2320). */
export const messageLimit = 16 << 20;

/** What every call answers until the daemon knows its objects. */
export const startingMessage = 'berthd is starting';

type Unary = ServerUnaryCall<Buffer, Uint8Array>;
type Stream = ServerWritableStream<Buffer, Uint8Array>;
type Duplex = ServerDuplexStream<Buffer, Uint8Array>;
type AnyCall = EventEmitter & Pick<ServerSurfaceCall, 'getDeadline'>;
type Answers = AnyCall & Writable;
export type AnyHandler = (request: unknown, call: Call) => Promise<unknown> | AsyncIterable<unknown> | Feed;

export interface CallOptions {
  readonly ready: () => boolean;
  readonly log: Log;
}

export interface RunningCall {
  readonly method: Method;
  /** As performance.now() was. */
  readonly started: number;
  readonly controller: AbortController;
}

/** What is the same for every call: readiness, signal, steps' name, log line, histogram, status. Never throws. */
export class Calls {
  readonly #options: CallOptions;
  readonly #running = new Set<RunningCall>();

  constructor(options: CallOptions) {
    this.#options = options;
  }

  /** Aborts the signal of every call that runs, or of those that stream answers and might never end. */
  abort(reason: BerthError, { streams = false } = {}): void {
    for (const { controller, method } of this.#running) if (!streams || method.stream) controller.abort(reason);
  }

  /** The calls that have not ended. */
  running(): Iterable<Pick<RunningCall, 'method' | 'started'>> {
    return this.#running;
  }

  unary(method: Method, handler: AnyHandler | undefined) {
    return (call: Unary, callback: sendUnaryData<Uint8Array>): void => {
      let answer: Uint8Array = Buffer.alloc(0);
      const run = async (context: Call, ids: object): Promise<void> => {
        const response = await this.#handle(method, handler, call.request, context, ids);
        Object.assign(ids, idsOf(response));
        answer = toBytes(method, response);
      };
      void this.#track(method, call, run).then((error) =>
        error === undefined ? callback(null, answer) : callback(toStatus(error)),
      );
    };
  }

  stream(method: Method, handler: AnyHandler | undefined) {
    return (call: Stream): void => {
      const run = async (context: Call, ids: object): Promise<void> => {
        const responses = this.#handle(method, handler, call.request, context, ids) as AsyncIterable<unknown> | Feed;
        if (responses instanceof Feed) await responses.run(sinkOf(call));
        else await send(method, call, responses, context.signal);
      };
      this.#stream(method, call, run);
    };
  }

  /** What the client still sends when the handler has ended is thrown away. */
  duplex(method: Method, handler: AnyHandler | undefined) {
    return (call: Duplex): void => {
      const run = async (context: Call, ids: object): Promise<void> => {
        const requests = requestsOf(method, call, context.signal, (request) => Object.assign(ids, idsOf(request)));
        const responses = this.#served(method, handler)(requests, context) as AsyncIterable<unknown>;
        await send(method, call, responses, context.signal);
      };
      this.#stream(method, call, run);
    };
  }

  #stream(method: Method, call: Answers, run: (call: Call, ids: object) => Promise<void>): void {
    void this.#track(method, call, run).then((error) =>
      error === undefined ? call.end() : call.emit('error', toStatus(error)),
    );
  }

  #handle(method: Method, handler: AnyHandler | undefined, bytes: Buffer, call: Call, ids: object) {
    const served = this.#served(method, handler);
    const request = decode(method.request, bytes);
    Object.assign(ids, idsOf(request));
    return served(request, call);
  }

  #served(method: Method, handler: AnyHandler | undefined): AnyHandler {
    if (handler === undefined)
      throw new BerthError('unimplemented', `${method.name}: not implemented by this version of Berth`);
    if (!this.#options.ready()) throw new BerthError('unavailable', startingMessage);
    return handler;
  }

  /** Runs one call to its end and accounts for it; gives the error it ended with. */
  async #track(method: Method, call: AnyCall, run: (call: Call, ids: object) => Promise<void>): Promise<unknown> {
    const started = performance.now();
    const controller = new AbortController();
    const running = { method, started, controller };
    this.#running.add(running);
    call.on('cancelled', () => controller.abort(goneReason(method, call)));
    const ids: Record<string, unknown> = {};
    const context = { rpc: method.name, signal: controller.signal, log: this.#options.log };
    const error = await settle(() => inCall(method.name, () => run(context, ids)));
    this.#running.delete(running);
    const failure = error === undefined ? undefined : explained(error.cause, controller.signal);
    this.#account(method, performance.now() - started, ids, failure);
    return failure;
  }

  #account(method: Method, milliseconds: number, ids: Record<string, unknown>, error: unknown): void {
    callSeconds.observe({ method: method.name, code: error === undefined ? 'ok' : codeOf(error) }, milliseconds / 1000);
    logCall(this.#options.log, { rpc: method.name, milliseconds, ids, ...(error === undefined ? {} : { error }) });
  }
}

const send = async (
  method: Method,
  call: Answers,
  responses: AsyncIterable<unknown>,
  signal: AbortSignal,
): Promise<void> => {
  for await (const response of responses) {
    signal.throwIfAborted();
    if (!call.write(toBytes(method, response))) await once(call, 'drain', { signal });
  }
};

/** One after the other as the handler asks for them; the client is held up meanwhile. */
async function* requestsOf(
  method: Method,
  call: Duplex,
  signal: AbortSignal,
  onFirst: (request: unknown) => void,
): AsyncGenerator<unknown> {
  let isFirst = true;
  // The answers, and the error, go the other way of what the iterator would destroy.
  for await (const bytes of call.iterator({ destroyOnReturn: false })) {
    const request = decode(method.request, bytes as Buffer);
    if (isFirst) onFirst(request);
    isFirst = false;
    yield request;
  }
  // A client that has gone half way looks like one that has ended, until the stream's close is told as well.
  await nextTurn();
  signal.throwIfAborted();
}

/** The error in a box, so that `throw undefined` is one too. */
const settle = async (action: () => Promise<void>): Promise<{ readonly cause: unknown } | undefined> => {
  try {
    await action();
    return undefined;
  } catch (cause) {
    return { cause };
  }
};

/** An AbortError says nothing: the signal's reason knows whether the client left or was late. */
const explained = (error: unknown, signal: AbortSignal): unknown => {
  if (signal.aborted && codeOf(error) === 'cancelled' && signal.reason instanceof BerthError) return signal.reason;
  return error instanceof BerthError ? error : new BerthError(codeOf(error), messageOf(error), { cause: error });
};

const goneReason = (method: Method, call: AnyCall): BerthError => {
  // the client's clock started earlier than ours: it gives up a little before our deadline
  const deadline = Number(call.getDeadline()) - 50;
  return Date.now() >= deadline
    ? new BerthError('deadline-exceeded', `${method.name}: the client's deadline has passed`)
    : new BerthError('cancelled', `${method.name}: the client has gone`);
};

const toBytes = (method: Method, response: unknown): Uint8Array => {
  const bytes = response instanceof Encoded ? response.bytes : encode(method.response, response as never);
  if (bytes.length > messageLimit)
    throw new BerthError(
      'resource-exhausted',
      `${method.name}: the answer has ${bytes.length} bytes, the limit is ${messageLimit}`,
    );
  return bytes;
};
