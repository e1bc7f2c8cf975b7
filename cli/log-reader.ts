import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BerthError, orMissing } from '../base/errors.ts';
import { type LogLine, LogLines } from './log-lines.ts';

const pollMs = 30;
const chunk = 64 << 10;

/** All lines that are in the file now. */
export const readLog = (path: string): AsyncIterable<LogLine> => followLog(path, async () => true);

/**
 * The file's lines, and those that come, until `ended` says so and the file is read to its end. Another file under the
 * same name (a rotation) is gone on with when the old one is at its end. Of what is there at first only the last `tail`.
 */
export async function* followLog(
  path: string,
  ended: () => Promise<boolean>,
  tail = Number.POSITIVE_INFINITY,
): AsyncGenerator<LogLine> {
  let handle = await openLog(path);
  let lines = new LogLines();
  try {
    if (tail !== Number.POSITIVE_INFINITY) yield* await lastLines(drain(handle, lines), tail);
    while (true) {
      // asked first: what is written before the end is still read after it
      const over = await ended();
      yield* drain(handle, lines);
      const next = await rotated(handle, path);
      if (next !== undefined) {
        yield* drain(handle, lines);
        await handle.close();
        handle = next;
        lines = new LogLines();
      } else if (over) return;
      else await sleep(pollMs);
    }
  } finally {
    await handle.close();
  }
}

/** The last `count` lines; parts of one long line count as one. */
export const lastLines = async (lines: AsyncIterable<LogLine>, count: number): Promise<LogLine[]> => {
  const kept: LogLine[] = [];
  let whole = 0;
  for await (const line of lines) {
    kept.push(line);
    if (line.end) whole += 1;
    while (whole > count && kept.length > 0) if (kept.shift()?.end === true) whole -= 1;
  }
  return kept;
};

const openLog = async (path: string): Promise<FileHandle> => {
  const handle = await orMissing(open(path, constants.O_RDONLY | constants.O_NOFOLLOW));
  if (handle === undefined)
    throw new BerthError(
      'not-found',
      `log ${path} is not there: the container was not started, or the log was removed`,
    );
  return handle;
};

async function* drain(handle: FileHandle, lines: LogLines): AsyncGenerator<LogLine> {
  while (true) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(chunk), 0, chunk, null);
    if (bytesRead === 0) return;
    yield* lines.push(buffer.subarray(0, bytesRead));
  }
}

/** The new file when `path` is another one than `handle`. */
const rotated = async (handle: FileHandle, path: string): Promise<FileHandle | undefined> => {
  const [ours, there] = await Promise.all([handle.stat(), orMissing(stat(path))]);
  if (there === undefined || (there.ino === ours.ino && there.dev === ours.dev)) return undefined;
  return orMissing(open(path, constants.O_RDONLY | constants.O_NOFOLLOW));
};
