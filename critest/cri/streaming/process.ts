import { PassThrough, type Transform } from 'node:stream';
import type { ProcessEnd, ProcessStreams, TerminalSize, WantedStreams } from '../../../cri/stream/session.ts';

/** A process of the test's own: what it is given and what it says are in the test's hand. */
export class OwnProcess implements ProcessStreams {
  readonly stdin: PassThrough | undefined;
  readonly stdout: PassThrough | undefined;
  readonly stderr: PassThrough | undefined;
  readonly ended: Promise<ProcessEnd>;
  readonly sizes: TerminalSize[] = [];
  /** How many sizes had come when the first input came. */
  sizesAtFirst: number | undefined;
  closed = false;
  readonly #end = Promise.withResolvers<ProcessEnd>();

  constructor(wanted: WantedStreams) {
    const transform: Transform['_transform'] = (bytes, _encoding, done) => {
      this.sizesAtFirst ??= this.sizes.length;
      done(null, bytes);
    };
    this.stdin = wanted.stdin ? new PassThrough({ transform }) : undefined;
    this.stdout = wanted.stdout ? new PassThrough() : undefined;
    this.stderr = wanted.stderr ? new PassThrough() : undefined;
    this.ended = this.#end.promise;
    this.ended.catch(() => undefined);
  }

  /** What came in. Only where stdin was wanted. */
  get input(): PassThrough {
    if (this.stdin === undefined) throw new Error('this process has no stdin');
    return this.stdin;
  }

  resize(size: TerminalSize): void {
    this.sizes.push(size);
  }

  exit(code: number): void {
    this.stdout?.end();
    this.stderr?.end();
    this.#end.resolve({ code, signal: 0 });
  }

  close(): void {
    this.closed = true;
    this.#end.reject(new Error('closed'));
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream?.destroy();
  }
}
