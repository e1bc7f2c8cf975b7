import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { type Digest, isDigest } from '../../base/digest.ts';
import { BerthError, errnoOf } from '../../base/errors.ts';
import { readLimited } from '../../base/files.ts';
import { spent } from '../blobs/spent.ts';
import type { Helper, LayerLimit } from '../types.ts';
import { mostBytes, tooLarge } from './bound.ts';
import type { Door, Gate } from './gate.ts';
import { runHelper } from './helper.ts';
import { parseReport, type UnpackReport } from './report.ts';
import { type MeasuredTree, toldTree } from './size.ts';
import { recordsLimit } from './trees.ts';

export interface UnpackTools {
  readonly helper: Helper;
  readonly program: string;
  /** The path of berth-decompress. */
  readonly decompressor: string;
  readonly gate: Gate;
}

export interface UnpackJob {
  readonly directory: string;
  /** Begins to read gzip, zstd or plain tar, told by its first bytes; the signal ends the reading when the unpacker has ended. */
  readonly read: (signal: AbortSignal) => AsyncIterable<Buffer>;
  /** Of the stream, in bytes. */
  readonly size: number;
  readonly limit: LayerLimit;
  /** Begins errors: `layer sha256:…`. */
  readonly what: string;
  readonly signal: AbortSignal;
}

/** shim/native/decompress.h */
const large = 2;
const reasons: Readonly<Record<number, string>> = {
  10: 'it ends in the middle',
  11: 'it is not valid',
  12: 'its checksum is wrong',
  13: 'what follows it is not of its kind',
  14: 'it needs more than 128 MiB of memory',
  15: 'it needs a dictionary',
};
const endings = [0, large, ...Object.keys(reasons).map(Number)];

/** What has become of a layer. `records` as in the report. */
export interface Unpacked extends Pick<UnpackReport, 'records' | 'root' | 'isOpaque'> {
  readonly diffId: Digest;
  readonly measured: MeasuredTree;
}

/**
 * Feeds the layer to `berth-shim unpack`, whose confined processes decompress, hash and unpack it into `directory`/fs, which
 * it syncs and measures. The caller checks the DiffID. Fails with the error that came first: that of the stream, or the helper's own
 * words when it gave up; data-loss for what cannot be decompressed, resource-exhausted for too much.
 */
export const unpack = async (tools: UnpackTools, job: UnpackJob): Promise<Unpacked> => {
  const { directory, read, what, signal } = job;
  using door = tools.gate.expect(`unpack ${what}`);
  const stop = new AbortController();
  const all = AbortSignal.any([signal, stop.signal]);
  const report = join(directory, 'report');
  const failures: unknown[] = [];
  const note = (error: unknown): void => {
    failures.push(error);
    // With its socket gone the helper ends by itself; killed before, it could not say why.
    if (!isBrokenPipe(error)) stop.abort(error);
  };
  const feeding = feed(door, read(all), all).catch(note);
  const told = await runUnpacker(tools, job, { token: door.token, report, signal: all })
    .finally(() => door[Symbol.dispose]())
    .catch((error: unknown) => {
      // A socket that broke says only that the helper has gone: why is in the helper's own words.
      if (failures.length === 1 && isBrokenPipe(failures[0])) failures.pop();
      note(error);
      stop.abort(error);
    });
  await feeding;
  if (failures.length > 0 || told === undefined) throw failures[0];
  return readUnpacked(told, await readLimited(report, recordsLimit), `unpack ${what}`);
};

/** `told`: the digest, and on the lines behind it the tree. */
const readUnpacked = (told: string, report: Buffer | undefined, what: string): Unpacked => {
  const diffId = `sha256:${told.slice(0, told.indexOf('\n'))}`;
  if (!isDigest(diffId)) throw new BerthError('internal', `${what}: the helper's answer is not understood`);
  const { content, records, root, isOpaque } = parseReport(report, what);
  const measured = toldTree(told.slice(told.indexOf('\n') + 1), what, content);
  return { diffId, measured, records, root, isOpaque };
};

const runUnpacker = async (
  { helper, program, decompressor, gate }: UnpackTools,
  { directory, size, limit, what }: UnpackJob,
  { token, report, signal }: { readonly token: string; readonly report: string; readonly signal: AbortSignal },
): Promise<string> => {
  const source = ['--from', gate.path, '--token', token, '--decompress', decompressor, `${mostBytes(size, limit)}`];
  const argv = [program, 'unpack', '--to', join(directory, 'fs'), '--report', report, ...source];
  const { code, stdout } = await runHelper(helper, { argv, signal, name: 'unpack layer' }, `unpack ${what}`, endings);
  if (code === large) throw tooLarge(what, size, limit);
  if (code !== 0) throw new BerthError('data-loss', `${what}: cannot be decompressed: ${reasons[code]}`);
  return stdout.toString('latin1');
};

const isBrokenPipe = (error: unknown): boolean =>
  ['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'].includes(errnoOf(error) ?? '');

const feed = async (door: Door, stream: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> => {
  const socket = await door.socket;
  let failure: unknown;
  socket.on('error', (error) => {
    failure = error;
  });
  try {
    for await (const chunk of stream) {
      if (failure !== undefined) throw failure;
      if (!socket.write(chunk, () => spent(chunk))) await drained(socket, signal);
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
