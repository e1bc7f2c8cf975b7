import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { errnoOf } from '../../base/errors.ts';
import { readLimited } from '../../base/files.ts';
import type { Helper } from '../types.ts';
import type { Door, Gate } from './gate.ts';
import { runHelper } from './helper.ts';
import { parseReport, type UnpackReport } from './report.ts';
import { recordsLimit } from './trees.ts';

export interface UnpackTools {
  readonly helper: Helper;
  readonly program: string;
  readonly gate: Gate;
}

/**
 * Feeds the tar to a confined `berth-shim unpack` that fills and syncs `directory`/fs. Fails with the error that came
 * first: that of the stream, or the helper's own words when it gave up.
 */
export const unpack = async (
  { helper, program, gate }: UnpackTools,
  { directory, tar, name, signal }: UnpackJob,
): Promise<UnpackReport> => {
  using door = gate.expect(name);
  const stop = new AbortController();
  const all = AbortSignal.any([signal, stop.signal]);
  const report = join(directory, 'report');
  const from = ['--from', gate.path, '--token', door.token];
  const argv = [program, 'unpack', '--to', join(directory, 'fs'), ...from, '--report', report];
  const run = runHelper(helper, { argv, signal: all, name: 'unpack layer' }, name);
  const failures: unknown[] = [];
  const note = (error: unknown): void => {
    failures.push(error);
    // With its socket gone the helper ends by itself; killed before, it could not say why.
    if (!isBrokenPipe(error)) stop.abort(error);
  };
  const feeding = feed(door, tar, all).catch(note);
  const result = await run
    .finally(() => door[Symbol.dispose]())
    .catch((error: unknown) => {
      // A socket that broke says only that the helper has gone: why is in the helper's own words.
      if (failures.length === 1 && isBrokenPipe(failures[0])) failures.pop();
      note(error);
    });
  await feeding;
  if (failures.length > 0 || result === undefined) throw failures[0];
  return parseReport(await readLimited(report, recordsLimit), name);
};

export interface UnpackJob {
  readonly directory: string;
  readonly tar: AsyncIterable<Buffer>;
  /** Begins errors: `unpack layer sha256:…`. */
  readonly name: string;
  readonly signal: AbortSignal;
}

const isBrokenPipe = (error: unknown): boolean =>
  ['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'].includes(errnoOf(error) ?? '');

const feed = async (door: Door, tar: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> => {
  const socket = await door.socket;
  let failure: unknown;
  socket.on('error', (error) => {
    failure = error;
  });
  try {
    for await (const chunk of tar) {
      if (failure !== undefined) throw failure;
      if (!socket.write(chunk)) await drained(socket, signal);
    }
    socket.end();
  } catch (error) {
    socket.destroy();
    throw error;
  }
};

const drained = async (socket: Socket, signal: AbortSignal): Promise<void> => {
  if (socket.writableNeedDrain) await once(socket, 'drain', { signal });
};
