import type { ServerHttp2Stream } from 'node:http2';
import { Metadata, type ServerWritableStream } from '@grpc/grpc-js';
import { BerthError } from '../base/errors.ts';
import type { Encoded } from './encoded.ts';

/** A message with gRPC's head, made once for all who get it: their streams share its bytes. */
export class Frame {
  readonly bytes: Buffer;

  constructor({ bytes }: Encoded) {
    const head = Buffer.alloc(headBytes);
    head.writeUInt32BE(bytes.length, 1);
    this.bytes = Buffer.concat([head, bytes]);
  }

  /** Of the message. */
  get length(): number {
    return this.bytes.length - headBytes;
  }
}

/** A byte that says "not compressed", and the message's length. */
const headBytes = 5;

/** One client's stream, to be written to. */
export interface Sink {
  /** False: the client reads less than it is sent; `onDrain` tells when it reads again. Never throws. */
  write(frame: Frame): boolean;
  onDrain(action: () => void): void;
}

/**
 * What a handler gives instead of an iterable where many get the same messages, each as it comes: `run` writes them, ends the
 * stream by resolving, and rejects with its error. It has to end when the call's signal aborts.
 */
export class Feed {
  readonly run: (sink: Sink) => Promise<void>;

  constructor(run: (sink: Sink) => Promise<void>) {
    this.run = run;
  }
}

/** The client is told at once that it is listened to. */
export const sinkOf = (call: ServerWritableStream<Buffer, Uint8Array>): Sink => {
  call.sendMetadata(new Metadata());
  const stream = http2StreamOf(call);
  return {
    write: ({ bytes }) => stream.writable && stream.write(bytes),
    onDrain: (action) => void stream.on('drain', action),
  };
};

/**
 * grpc-js copies each message for each call, and makes promises for it: three quarters of what a message to a thousand costs.
 * Its call has the stream in a field that is not in its types (1.14.7: server-call.js, server-interceptors.js).
 */
const http2StreamOf = (call: unknown): ServerHttp2Stream => {
  const { stream } = (call as { readonly call: { readonly stream?: ServerHttp2Stream } }).call;
  if (stream === undefined)
    throw new BerthError('internal', 'write to a call: this release of grpc-js hides its stream');
  return stream;
};
