/** One line of a CRI log: `2026-11-22T04:32:43.123456789Z stdout F text`. `end` is false for the first part of a long line. */
export interface LogLine {
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  readonly end: boolean;
  readonly text: Buffer;
}

/** Cuts bytes into log lines; what has no newline yet waits for more. */
export class LogLines {
  #rest = Buffer.alloc(0);

  push(bytes: Uint8Array): LogLine[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const lines: LogLine[] = [];
    for (let end = this.#rest.indexOf(10); end >= 0; end = this.#rest.indexOf(10)) {
      lines.push(parseLine(this.#rest.subarray(0, end)));
      this.#rest = this.#rest.subarray(end + 1);
    }
    return lines;
  }
}

/** A line that is none is shown as it is. */
const parseLine = (line: Buffer): LogLine => {
  const match = /^(\S+) (stdout|stderr) ([PF])(?: |$)/.exec(line.subarray(0, 80).toString('latin1'));
  if (match === null) return { time: '', stream: 'stdout', end: true, text: line };
  const [head, time = '', stream, tag] = match;
  return { time, stream: stream as LogLine['stream'], end: tag === 'F', text: line.subarray(head.length) };
};

/** The container's own bytes: parts of a long line are joined again. */
export const contentOf = (line: LogLine): Buffer =>
  line.end ? Buffer.concat([line.text, Buffer.from('\n')]) : line.text;
