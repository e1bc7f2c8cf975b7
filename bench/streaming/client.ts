// Runs in the network namespace of the endpoint: one JSON line in is one measurement, one out its result.
import { createInterface } from 'node:readline';
import { messageOf } from '../../base/errors.ts';
import { spdyExec, spdyForward } from './spdy.ts';
import { webSocketExec } from './websocket.ts';
import { channel, type OnData, type Wire } from './wire.ts';

export interface Job {
  readonly over: 'spdy' | 'websocket' | 'portforward';
  readonly url: string;
  /** `drain`: reads `bytes`; `fill`: writes them; `echo`: sends a piece `count` times, each when the last has come back; `end`: waits for the end. */
  readonly kind: 'drain' | 'fill' | 'echo' | 'end';
  readonly bytes: number;
  readonly count: number;
  readonly port: number;
}

export interface Done {
  /** Of the whole transfer, or of each round trip. */
  readonly milliseconds: readonly number[];
  readonly error?: string;
}

const piece = Buffer.alloc(64 << 10, 'x');
/** A session that has not ended by then is stuck. */
const longestMs = 30_000;

const open = ({ over, url, port, kind }: Job, onData: OnData): Promise<Wire> => {
  if (over === 'portforward') return spdyForward(url, port, onData);
  return over === 'spdy' ? spdyExec(url, kind === 'fill' || kind === 'echo', onData) : webSocketExec(url, onData);
};

/** What came, and a wait for it. */
class Received {
  stdout = 0;
  status = '';
  /** The first of stdout. */
  said = '';
  #wake = Promise.withResolvers<void>();

  add(number: number, bytes: Buffer): void {
    if (number === channel.stdout) {
      this.stdout += bytes.length;
      if (this.said.length < 64) this.said += bytes.toString('latin1', 0, 64);
    }
    if (number === channel.error) this.status += bytes.toString();
    this.#wake.resolve();
  }

  async until(done: () => boolean, socket: Wire['socket']): Promise<void> {
    while (!done()) {
      if (socket.readableEnded || socket.destroyed) throw new Error(`ended after ${this.stdout} bytes: ${this.status}`);
      this.#wake = Promise.withResolvers<void>();
      socket.once('end', this.#wake.resolve).once('close', this.#wake.resolve);
      await this.#wake.promise;
      socket.off('end', this.#wake.resolve).off('close', this.#wake.resolve);
    }
  }
}

const fill = async (wire: Wire, bytes: number): Promise<void> => {
  for (let left = bytes; left > 0; left -= piece.length)
    if (!wire.send(channel.stdin, piece.subarray(0, Math.min(left, piece.length)))) await drained(wire.socket);
};

/** Or gone: who has read all may reset the connection behind it. */
const drained = (socket: Wire['socket']): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (socket.destroyed) return Promise.resolve();
  socket.once('drain', resolve).once('close', resolve);
  return promise.then(() => void socket.off('drain', resolve).off('close', resolve));
};

const run = async (job: Job): Promise<Done> => {
  const received = new Received();
  const milliseconds: number[] = [];
  const began = performance.now();
  const wire = await open(job, (number, bytes) => received.add(number, bytes));
  const limit = setTimeout(() => wire.socket.destroy(new Error(`stuck for ${longestMs} ms`)), longestMs);
  const started = job.kind === 'end' ? began : performance.now();
  const ended = (): boolean => received.status !== '';
  if (job.kind === 'drain') {
    if (job.over === 'portforward') wire.send(channel.stdin, Buffer.from(`${job.bytes}\n`));
    await received.until(() => received.stdout >= job.bytes, wire.socket);
  } else if (job.kind === 'fill') {
    if (job.over === 'portforward') wire.send(channel.stdin, Buffer.from(`${job.bytes}\n`));
    await fill(wire, job.bytes);
    await received.until(() => (job.over === 'portforward' ? received.stdout > 0 : ended()), wire.socket);
  } else if (job.kind === 'end') await received.until(ended, wire.socket);
  else
    for (let trip = 0; trip < job.count; trip += 1) {
      const sent = performance.now();
      const expected = received.stdout + job.bytes;
      wire.send(channel.stdin, piece.subarray(0, job.bytes));
      await received.until(() => received.stdout >= expected, wire.socket);
      milliseconds.push(performance.now() - sent);
    }
  if (job.kind === 'fill' && job.over !== 'portforward' && Number(received.said) !== job.bytes)
    throw new Error(`the process has read ${received.said.trim()} of ${job.bytes} bytes`);
  if (ended() && !received.status.includes('"Success"')) throw new Error(received.status);
  if (job.kind !== 'echo') milliseconds.push(performance.now() - started);
  clearTimeout(limit);
  wire.socket.destroy();
  return { milliseconds };
};

for await (const line of createInterface({ input: process.stdin })) {
  const done = await run(JSON.parse(line) as Job).catch((error: unknown) => ({
    milliseconds: [],
    error: messageOf(error),
  }));
  process.stdout.write(`${JSON.stringify(done)}\n`);
}
