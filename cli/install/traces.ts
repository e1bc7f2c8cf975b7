import { readFile, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '../../api/client.ts';
import { isId } from '../../base/digest.ts';
import { BerthError, errnoOf, messageOf, orMissing } from '../../base/errors.ts';
import { namesIn } from '../../base/files.ts';
import { answer } from './system.ts';

/** What the daemon has on this machine beside its files. */
export interface Traces {
  readonly root: string;
  readonly state: string;
  readonly bridge: string;
}

/**
 * As the daemon that runs says; where none answers as the configuration says that the installed one would read. Throws
 * failed-precondition when neither tells: the defaults may be somebody else's, and are taken with `force` alone.
 */
export const tracesOf = async (client: Client, prefix: string, force: boolean): Promise<Traces> => {
  const { info } = await client
    .Status({ verbose: true }, { timeoutMs: 30_000 })
    .catch(() => ({ info: {} as Record<string, string> }));
  if (info.config === undefined) return tracesIn(await dumped(join(prefix, 'bin/berthd'), force));
  const config = JSON.parse(info.config) as { root: string; state: string; network: { embedded_bridge: string } };
  return { root: config.root, state: config.state, bridge: config.network.embedded_bridge };
};

const dumped = async (program: string, force: boolean): Promise<string> => {
  try {
    return await answer(program, 'config', 'dump');
  } catch (error) {
    if (force) return '';
    const what = 'berthd does not answer, and where its data are cannot be read from its configuration';
    throw new BerthError(
      'failed-precondition',
      `${what}: ${messageOf(error)}. Mend it, or remove the default directories with --force`,
    );
  }
};

/** From the text of `berthd config dump`; what it does not say is the default. */
export const tracesIn = (dump: string): Traces => {
  const value = (key: string, other: string): string => {
    const [, text] = new RegExp(`^${key} = ("(?:[^"\\\\]|\\\\.)*")`, 'm').exec(dump) ?? [];
    return text === undefined ? other : (JSON.parse(text) as string);
  };
  return {
    root: value('root', '/var/lib/berth'),
    state: value('state', '/run/berth'),
    bridge: value('embedded_bridge', 'berth0'),
  };
};

/** Pods and containers that have something in the state directory. */
export const objectsIn = async ({ state }: Pick<Traces, 'state'>): Promise<number> => {
  const names = await Promise.all(['containers', 'sandboxes'].map((kind) => namesIn(join(state, kind))));
  return names.flat().filter((name) => isId(name)).length;
};

/** Where the installed service has its supervisors, from the text of /proc/PID/cgroup. */
export const isOfService = (cgroups: string): boolean => /\/berth\.service\/supervisors$/m.test(cgroups);

/**
 * Of this state directory, also of one that is there no more, and of the service, whatever state it had: its configuration may have been
 * changed since. Each has a container that runs. Where nobody may look, each counts.
 */
export const countSupervisors = async ({ state }: Pick<Traces, 'state'>): Promise<number> => {
  const bundles = join((await orMissing(realpath(state))) ?? state, 'containers/');
  const isOurs = async (pid: string): Promise<boolean> => {
    const comm = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    if (comm !== 'berth-shim\n') return false;
    const bundle = await readlink(`/proc/${pid}/cwd`).catch((error: unknown) =>
      errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH' ? '' : bundles,
    );
    return bundle.startsWith(bundles) || isOfService(await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''));
  };
  const pids = (await namesIn('/proc')).filter((name) => /^\d+$/.test(name));
  return (await Promise.all(pids.map(isOurs))).filter((ours) => ours).length;
};
