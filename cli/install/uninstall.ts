import type { Dirent } from 'node:fs';
import { readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '../../api/client.ts';
import { ownNames } from '../../api/own-names.ts';
import { BerthError, errnoOf, messageOf, orMissing } from '../../base/errors.ts';
import { namesIn } from '../../base/files.ts';
import type { Context, Output } from '../context.ts';
import { listObjects } from '../find.ts';
import { removePod, stopPod } from '../pods.ts';
import { checkInside, type Installed, printOf, readInstalled, removeEntry } from './files.ts';
import { stays } from './install.ts';
import { libraryOf, type Place } from './layout.ts';
import { recordPath } from './plan.ts';
import { ask, isActive, perform } from './system.ts';
import { countSupervisors, objectsIn, type Traces, tracesOf } from './traces.ts';

export interface UninstallWish extends Pick<Place, 'prefix' | 'root'> {
  readonly now: boolean;
  /** Pods that run are ended. */
  readonly force: boolean;
  /** Images stay, and what else is in the root directory. */
  readonly keepData: boolean;
}

const units = ['berth-pods.service', 'berth-group.socket', 'berth.socket', 'berth.service'];

/** Shows what goes, and removes it with `now`. What an operator has changed stays, and is told. */
export const uninstall = async (wish: UninstallWish, context: Context): Promise<number> => {
  const { out } = context;
  const files = await readInstalled(join(wish.root, recordPath(wish)));
  if (files.size === 0) throw new BerthError('not-found', `Berth is not installed in ${wish.root}${libraryOf(wish)}`);
  const kept = await changedByHand(wish, files);
  const library = `${libraryOf(wish)}/`;
  const [programs, others] = [true, false].map((ours) =>
    [...files.keys()].filter((path) => path.startsWith(library) === ours),
  );
  out.write(`- ${wish.root}${library}  (${programs?.length} files)\n`);
  for (const path of others ?? []) if (!kept.has(path)) out.write(`- ${wish.root}${path}\n`);
  for (const path of kept) out.write(`! ${wish.root}${path}  (changed by hand: left as it is)\n`);
  if (wish.root !== '') {
    if (wish.now) await removeFiles(wish, files, kept);
    else out.write('nothing was done; `--now` does it\n');
    return 0;
  }
  return fromMachine(wish, files, kept, context);
};

const fromMachine = async (
  wish: UninstallWish,
  files: Installed,
  kept: ReadonlySet<string>,
  { client, out }: Context,
): Promise<number> => {
  const traces = await tracesOf(client, wish.prefix, wish.force);
  const going: readonly Key[] = wish.keepData ? ['state'] : ['state', 'root'];
  for (const key of going) out.write(`- ${traces[key]}/\n`);
  await checkPods(client, wish, traces, out);
  if (!wish.now) {
    out.write('nothing was done; `--now` does it\n');
    return 0;
  }
  if (process.getuid?.() !== 0) throw new BerthError('permission-denied', 'only root may do this: try sudo');
  await removePods(client, wish.force, out);
  await perform([{ words: ['systemctl', 'stop', ...units] }], out);
  await checkLeft(traces);
  // The one that the operator may have enabled: its links are systemd's doing.
  await perform([{ words: ['systemctl', 'disable', '--quiet', 'berth-group.socket'], mayFail: true }], quiet(out));
  await removeFiles(wish, files, kept);
  await perform(
    [{ words: ['systemctl', 'daemon-reload'] }, { words: ['systemctl', 'reset-failed', ...units], mayFail: true }],
    quiet(out),
  );
  await removeTraces(traces, going, out);
  return 0;
};

const quiet = (out: Output): Output => ({ ...out, write: () => {}, error: () => {} });

const changedByHand = async ({ root, prefix }: UninstallWish, files: Installed): Promise<ReadonlySet<string>> => {
  const kept = new Set<string>();
  for (const [path, print] of files) {
    const there = path.startsWith(`${libraryOf({ prefix })}/`) ? print : await printOf(join(root, path));
    if (there !== undefined && there !== print) kept.add(path);
  }
  return kept;
};

/** The record last: who is interrupted can begin anew. */
const removeFiles = async (wish: UninstallWish, files: Installed, kept: ReadonlySet<string>): Promise<void> => {
  await checkInside(
    wish,
    [...files.keys()].map((path) => ({ path })),
  );
  const stay = stays(wish.root);
  for (const path of files.keys()) if (!kept.has(path)) await removeEntry(join(wish.root, path), stay);
  await removeEntry(join(wish.root, recordPath(wish)), stay);
};

/** Refuses while a pod runs, and when nobody can tell. */
const checkPods = async (client: Client, { force }: UninstallWish, traces: Traces, out: Output): Promise<void> => {
  const running = await runningPods(client, traces);
  if (running.length === 0) return;
  if (!force)
    throw new BerthError(
      'failed-precondition',
      `${running.length} pods run: ${running.slice(0, 5).join(', ')}${running.length > 5 ? ', …' : ''}. Drain the node first, or end them with --force`,
    );
  for (const name of running) out.write(`- pod ${name}\n`);
};

const runningPods = async (client: Client, traces: Traces): Promise<readonly string[]> => {
  try {
    const { items } = await client.ListPodSandbox({}, { timeoutMs: 30_000 });
    return items
      .filter(({ state }) => state === 'SANDBOX_READY')
      .map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`);
  } catch (error) {
    const [left, supervisors] = await Promise.all([objectsIn(traces), countSupervisors(traces)]);
    if (left + supervisors === 0) return [];
    throw new BerthError(
      'failed-precondition',
      `berthd does not answer (${messageOf(error)}), and there may be pods that run: ${traces.state} has ${left} pods and containers, and ${supervisors} supervisors run. Start it with systemctl start berth`,
    );
  }
};

/** Also those that have ended: their addresses are given back by their own network's plugins. */
const removePods = async (client: Client, force: boolean, out: Output): Promise<void> => {
  if (!(await isActive('berth.service'))) return;
  const { pods } = await listObjects(client);
  for (const pod of pods) {
    if (force) await stopPod(client, pod.id, 10);
    await removePod(client, pod);
    out.write(`removed pod ${pod.metadata?.namespace}/${pod.metadata?.name}\n`);
  }
};

/** A kubelet that runs makes pods anew until the last socket is closed: without Berth nobody would end them. */
export const checkLeft = async (traces: Pick<Traces, 'state'>): Promise<void> => {
  const count = await objectsIn(traces);
  if (count > 0)
    throw new BerthError(
      'failed-precondition',
      `${count} pods and containers have come meanwhile, and run on: stop kubelet, systemctl start berth.socket berth.service, and try again`,
    );
};

/**
 * What berthd keeps in one of its directories, and the directory when nothing else is in it. A disk of its own, or a link to a larger
 * one, is the operator's.
 */
export const removeData = async (path: string, own: readonly string[], out: Pick<Output, 'write'>): Promise<void> => {
  for (const entry of await entriesIn(path))
    if (entry.isSocket() || own.includes(entry.name))
      await rm(join(path, entry.name), { recursive: true, force: true });
  for (const name of await namesIn(path))
    if (name !== 'lost+found') out.write(`! ${join(path, name)}  (not put there by berthd: left as it is)\n`);
  try {
    await rmdir(path);
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (['ENOTDIR', 'EBUSY'].includes(errno))
      out.write(`! ${path}  (a link or a mount point: emptied, left as it is)\n`);
    else if (!['ENOENT', 'ENOTEMPTY'].includes(errno)) throw error;
  }
};

const entriesIn = async (path: string): Promise<readonly Dirent[]> =>
  (await orMissing(readdir(path, { withFileTypes: true }))) ?? [];

type Key = keyof typeof ownNames;

const removeTraces = async (traces: Traces, going: readonly Key[], out: Output): Promise<void> => {
  for (const key of going) await removeData(traces[key], ownNames[key], out);
  for (const directory of await ownCgroups()) await removeEmptyTree(directory);
  await ask('ip', 'link', 'delete', traces.bridge);
  // the kernel keeps a profile until it is told
  await writeFile('/sys/kernel/security/apparmor/.remove', 'berth-default').catch(() => {});
  if ((await ask('getent', 'group', 'berth')).endsWith(':')) await ask('groupdel', 'berth');
  const settings = await namesIn('/etc/berth');
  if (settings.length > 0) out.write('! /etc/berth  (yours: left as it is)\n');
};

/** Of pods that name no parent, unless the configuration does: then it is the operator's, who may have more in it. */
const parents = ['berth', 'berth.slice'];

/** On v2 one directory, on v1 one a hierarchy. */
export const ownCgroups = async (top = '/sys/fs/cgroup'): Promise<readonly string[]> => {
  const hierarchies = (await namesIn(top)).filter((name) => !parents.includes(name));
  return ['', ...hierarchies].flatMap((name) => parents.map((parent) => join(top, name, parent)));
};

/** Of cgroups only directories can be removed, from the deepest up. */
const removeEmptyTree = async (path: string): Promise<void> => {
  try {
    for (const entry of await readdir(path, { withFileTypes: true }))
      if (entry.isDirectory()) await removeEmptyTree(join(path, entry.name));
    await rmdir(path);
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'EBUSY', 'ENOTEMPTY'].includes(errnoOf(error) ?? '')) throw error;
  }
};
