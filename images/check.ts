import type { Digest } from '../base/digest.ts';
import { codeOf, errnoOf, messageOf } from '../base/errors.ts';
import { verified } from './blobs/verify.ts';
import { wrongImages } from './check-images.ts';
import { orphansIn, wrongRecords } from './check-records.ts';
import { type Finding, type Kind, ownersOf, repairFinding } from './check-repair.ts';
import { holdKey } from './holds.ts';
import { inBlobs, measuredTree } from './layers/size.ts';
import type { TreeFacts, Trees } from './layers/trees.ts';
import type { ImageStore } from './store.ts';
import type { Helper, Log } from './types.ts';

export type { Finding };

export interface CheckTools {
  readonly helper: Helper;
  readonly program: string;
  readonly store: ImageStore;
}

export interface CheckJob {
  /** Drops what is wrong and no container and no call uses. */
  readonly repair: boolean;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** `offset` of `total` bytes have been read; `subject` is what was read last. */
export interface CheckEvent {
  readonly offset: number;
  readonly total: number;
  readonly subject: string;
  readonly finding?: Finding;
}

/** Something to read: gives what is wrong with it, or undefined. */
interface Task {
  readonly kind: Kind;
  readonly digest: Digest;
  readonly bytes: number;
  readonly look: Look;
}

/** What is wrong, or why nobody can say: that is the machine's fault, and nothing is dropped for it. */
interface Problem {
  readonly text: string;
  readonly isKnown: boolean;
}

type Look = (signal: AbortSignal) => Promise<Problem | undefined>;

const wrong = (text: string): Problem => ({ text, isKnown: true });

/**
 * Reads every blob, layer and fix-up layer and compares it with its digest, or with the sums that were recorded when it
 * was unpacked; compares the records with what they name; finds what nobody knows. What is removed meanwhile is not wrong.
 */
export async function* checkStore(tools: CheckTools, { repair, signal, log }: CheckJob): AsyncGenerator<CheckEvent> {
  const { store } = tools;
  const tasks = tasksOf(tools);
  const total = tasks.reduce((sum, { bytes }) => sum + bytes, 0);
  let offset = 0;
  const settle = async (finding: Finding, isKnown = true): Promise<Finding> => {
    log.warn(finding, 'berth system check found something wrong');
    return repair && isKnown ? repairFinding(store, finding, log) : finding;
  };
  for (const { kind, digest, bytes, look } of tasks) {
    signal.throwIfAborted();
    yield { offset, total, subject: digest };
    const problem = await heldWhile(store, kind, digest, () => look(signal));
    offset += bytes;
    const base = { offset, total, subject: digest };
    if (problem === undefined) continue;
    const { text, isKnown } = problem;
    const owners = ownersOf(store, kind, digest);
    const finding = await settle({ kind, subject: digest, problem: text, ...owners, repaired: false }, isKnown);
    yield { ...base, finding };
  }
  for (const { write, ...wrong } of await store.catalog.wrongFiles()) {
    const finding = { ...wrong, ...ownersOf(store, wrong.kind, wrong.subject as Digest), repaired: false };
    log.warn(finding, 'berth system check found something wrong');
    const repaired = repair && (await isWritten(write, wrong.subject, log));
    yield { offset, total, subject: wrong.subject, finding: { ...finding, repaired } };
  }
  for (const finding of [...wrongRecords(store), ...(await wrongImages(store)), ...(await orphansIn(store))])
    yield { offset, total, subject: finding.subject, finding: await settle(finding) };
  yield { offset, total, subject: '' };
}

const isWritten = async (write: () => Promise<void>, subject: string, log: Log): Promise<boolean> => {
  try {
    await write();
    return true;
  } catch (error) {
    log.warn({ subject, error: messageOf(error) }, 'a record could not be written again');
    return false;
  }
};

const tasksOf = (tools: CheckTools): readonly Task[] => {
  const { blobs, layers, fixups } = tools.store;
  return [
    ...[...blobs.entries()].map(
      ([digest, size]): Task => ({
        kind: 'blob',
        digest,
        bytes: size,
        look: (signal) => lookAtBlob(tools.store, digest, size, signal),
      }),
    ),
    ...treeTasks(tools, 'layer', layers),
    ...treeTasks(tools, 'fixup', fixups),
  ];
};

const treeTasks = (tools: CheckTools, kind: 'layer' | 'fixup', trees: Trees): readonly Task[] =>
  [...trees.entries()].map(([digest, facts]) => ({
    kind,
    digest,
    bytes: facts.bytes,
    look: (signal) => lookAtTree(tools, trees.tree(digest), facts, signal),
  }));

/** Nobody collects it while it is read, and what has gone before or is taken meanwhile is nobody's any more. */
const heldWhile = async (
  store: ImageStore,
  kind: Kind,
  digest: Digest,
  look: () => Promise<Problem | undefined>,
): Promise<Problem | undefined> => {
  const isThere = (): boolean =>
    kind === 'blob' ? store.blobs.has(digest) : (kind === 'layer' ? store.layers : store.fixups).has(digest);
  if (!isThere()) return undefined;
  using _hold =
    kind === 'blob' || kind === 'layer' || kind === 'fixup' ? store.holds.take(holdKey(kind, digest)) : undefined;
  const problem = await look();
  return isThere() ? problem : undefined;
};

const lookAtBlob = async (
  { blobs }: ImageStore,
  digest: Digest,
  size: number,
  signal: AbortSignal,
): Promise<Problem | undefined> => {
  try {
    for await (const _ of verified(blobs.stream(digest), { digest, size }, 'blob')) signal.throwIfAborted();
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (errnoOf(error) === 'ENOENT') return wrong('is not there');
    return problemOf(error, messageOf(error).replace(/^blob: /, ''));
  }
};

/** A helper that was killed and a descriptor that could not be had say nothing of the disk. */
const problemOf = (error: unknown, text: string): Problem =>
  codeOf(error) === 'data-loss' || errnoOf(error) === 'EIO'
    ? wrong(text)
    : { text: `could not be checked, and stays: ${text}`, isKnown: false };

const lookAtTree = async (
  tools: CheckTools,
  path: string,
  { sums, inodes }: TreeFacts,
  signal: AbortSignal,
): Promise<Problem | undefined> => {
  try {
    const isInBlobs = sums?.content === inBlobs;
    const found = await measuredTree(tools, path, signal, isInBlobs ? inBlobs : undefined, true);
    if (found.inodes === 0) return wrong('is not there');
    if (sums === undefined) return wrong('was unpacked by an older Berth, which recorded nothing to check it by');
    if (found.inodes !== inodes && !isInBlobs)
      return wrong(`has ${found.inodes} files and directories, and had ${inodes} when it was unpacked`);
    if (found.sums.content !== sums.content) return wrong('a file has other content than when it was unpacked');
    if (found.sums.attributes !== sums.attributes)
      return wrong('names or attributes are not those of when it was unpacked');
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return problemOf(error, messageOf(error));
  }
};
