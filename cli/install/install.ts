import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { BerthError } from '../../base/errors.ts';
import type { Output } from '../context.ts';
import { checkInside, installedEntry, putEntry, readInstalled, removeEntry } from './files.ts';
import { libraryOf, type Place, unitsOf } from './layout.ts';
import { installedAfter, installedDuring, planInstall, planText, recordPath, type Step } from './plan.ts';
import { type Command, commandLine, isActive, perform } from './system.ts';

export interface InstallWish extends Place {
  readonly now: boolean;
  readonly verbose: boolean;
}

/** Shows what is to be done, and does it with `now`; the same again changes nothing. */
export const install = async (wish: InstallWish, out: Output): Promise<number> => {
  const record = join(wish.root, recordPath(wish));
  const installed = await readInstalled(record);
  const steps = await planInstall(wish, installed);
  out.write(planText(steps, wish, wish.verbose));
  const foreign = steps.filter(({ fate }) => fate === 'foreign');
  if (foreign.length > 0) throw refused(foreign);
  const changes = steps.filter(({ fate }) => ['new', 'changed', 'gone'].includes(fate));
  if (wish.root === '') await checkSystemd(wish.now);
  const commands = wish.root === '' ? await startCommands(wish, changes) : [];
  if (!wish.now) {
    for (const command of commands) out.write(commandLine(command));
    out.write(`nothing was done: ${changes.length} files to change; \`--now\` does it\n`);
    return 0;
  }
  await checkInside(wish, steps);
  // What an interrupted installation leaves is known to the next one, and to the removal.
  await putEntry(installedEntry(recordPath(wish), installedDuring(steps, installed)), record);
  await apply(wish, steps);
  await putEntry(installedEntry(recordPath(wish), installedAfter(steps, installed)), record);
  await perform([{ words: ['sync'] }, ...commands], out);
  out.write(wish.root === '' ? 'berthd runs; `berth info` shows it\n' : 'it starts with the machine\n');
  return 0;
};

const refused = (foreign: readonly Step[]): BerthError =>
  new BerthError(
    'failed-precondition',
    `not put there by Berth: ${foreign.map(({ path }) => path).join(', ')}. Move it away, or leave that part out (--without kubelet,crictl,kernel)`,
  );

const checkSystemd = async (now: boolean): Promise<void> => {
  if (!now) return;
  if (process.getuid?.() !== 0) throw new BerthError('permission-denied', 'only root may do this: try sudo');
  await access('/run/systemd/system').catch(() => {
    throw new BerthError(
      'failed-precondition',
      'systemd does not run this machine: start bin/berthd by what does, or prepare an image with --root DIRECTORY',
    );
  });
};

/** All new files first: a link to one that is missing would be one to nothing. */
const apply = async ({ root }: Place, steps: readonly Step[]): Promise<void> => {
  for (const { entry, path, fate } of steps)
    if (entry !== undefined && (fate === 'new' || fate === 'changed')) await putEntry(entry, join(root, path));
  for (const { path, fate } of steps) if (fate === 'gone') await removeEntry(join(root, path), stays(root));
};

/** Directories that are the machine's, empty or not. */
export const stays = (root: string): ReadonlySet<string> =>
  new Set(
    [
      '',
      '/',
      '/etc',
      '/usr',
      '/usr/lib',
      '/usr/local',
      '/usr/local/lib',
      '/usr/bin',
      '/usr/local/bin',
      '/usr/share',
      '/usr/share/man',
      '/usr/local/share',
      '/usr/local/share/man',
      '/etc/modules-load.d',
      '/etc/sysctl.d',
      '/etc/systemd',
      '/etc/systemd/system',
      '/etc/sysusers.d',
      '/etc/tmpfiles.d',
      '/opt',
      '/srv',
    ]
      .map((path) => `${root}${path}`)
      .concat(root),
  );

/** A running daemon is started anew only when something of it has changed: pods run on, and calls wait in the socket. */
const startCommands = async (place: Place, changes: readonly Step[]): Promise<readonly Command[]> => {
  const [socket, service] = await Promise.all([isActive('berth.socket'), isActive('berth.service')]);
  const ours = [libraryOf(place), unitsOf(place)].map((directory) => `${directory}/`);
  const stale = changes.some(({ path }) => ours.some((directory) => path.startsWith(directory)));
  const units = ['berth.socket', 'berth.service', 'berth-pods.service'];
  return [
    { words: ['systemd-sysusers', 'berth.conf'] },
    { words: ['systemd-tmpfiles', '--create', 'berth.conf'] },
    ...(place.without.includes('kernel')
      ? []
      : [
          { words: ['modprobe', '--all', '--quiet', 'overlay', 'br_netfilter'], mayFail: true },
          { words: ['/usr/lib/systemd/systemd-sysctl', '50-berth.conf'], mayFail: true },
        ]),
    { words: ['systemctl', 'daemon-reload'] },
    // a socket cannot be handed to a service that runs already
    ...(service && !socket ? [{ words: ['systemctl', 'stop', 'berth.service'] }] : []),
    { words: ['systemctl', 'start', ...units] },
    ...(service && socket && stale ? [{ words: ['systemctl', 'restart', 'berth.service'] }] : []),
  ];
};
