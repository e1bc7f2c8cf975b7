import { join } from 'node:path';
import { BerthError, within } from '../base/errors.ts';
import type { Connection } from './connection.ts';
import { FieldReader, type FrameIn, FrameParser } from './frames.ts';
import { nativeError } from './native-error.ts';
import { SELF } from './program.ts';
import { Frame } from './protocol.ts';
import { Run, type RunResult } from './run.ts';

/** What a supervisor says first: the container's process is made (and waits for GO where the plan says so). */
export interface StartReport {
  readonly pid: number;
  /** Nanoseconds since 1970. */
  readonly startedAt: bigint;
  readonly supervisorPid: number;
}

export interface SuperviseOptions {
  /** `cgroup.procs` or `tasks` files of the supervisors' own cgroup. */
  readonly cgroupProcs?: readonly string[];
  /** No report after so long: the supervisor is killed. Default 60 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** The kernel has `cgroup.kill`, and a test did not switch it off. Default true. */
  readonly cgroupKill?: boolean;
}

const reportOf = (frame: FrameIn, supervisorPid: number): StartReport => {
  if (frame.type !== Frame.OK) throw nativeError(frame.payload);
  const reader = new FieldReader(frame.payload);
  return { pid: reader.number(), startedAt: reader.bigint(), supervisorPid };
};

/** It ended without a report: what it printed is all there is. */
const silent = ({ code, stderr }: RunResult): BerthError =>
  new BerthError('internal', `supervisor ended with ${code}: ${stderr.toString('utf8').trim().slice(0, 1024)}`);

/** Starts `berth-shim supervise BUNDLE`, which holds `BUNDLE/lock` for its life and writes one frame to its stdout. */
export const supervise = (connection: Connection, bundle: string, options: SuperviseOptions): Promise<StartReport> => {
  const { timeoutMs = 60_000, signal, cgroupProcs = [] } = options;
  const stop = new AbortController();
  const report = Promise.withResolvers<StartReport>();
  const parser = new FrameParser();
  const settle = (data: Buffer): void => {
    try {
      const frame = parser.push(data)[0];
      if (frame !== undefined) report.resolve(reportOf(frame, run.pid));
    } catch (error) {
      report.reject(error);
    }
  };
  const name = 'supervise';
  const without = (options.cgroupKill ?? true) ? [] : ['--without-kill-file'];
  const argv = [SELF, 'supervise', ...without, bundle];
  // Locked before it is started: a live supervisor is never seen with a free lock.
  const lock = join(bundle, 'lock');
  const run = new Run({ name, argv, lock, outlive: true, template: true, cgroupProcs, signal: stop.signal }, settle);
  // The run goes on after its report; only one without a report is ended here.
  run.on(connection).then((result) => report.reject(silent(result)), report.reject);
  const abort = (): void => stop.abort();
  const timer = setTimeout(abort, timeoutMs);
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  return report.promise
    .catch((error: unknown) => {
      throw within('start container', error);
    })
    .finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    });
};
