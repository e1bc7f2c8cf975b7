import { BerthError, invalid } from '../base/errors.ts';
import type { Agent } from './agent.ts';
import { errorOnStdout } from './native-error.ts';
import type { OciIdMapping } from './oci.ts';
import { SELF } from './program.ts';

/** Which ids of the host a user namespace maps, from its 0 on; needed where it is made. */
export interface PinnedUser {
  readonly path: string;
  readonly uids?: OciIdMapping;
  readonly gids?: OciIdMapping;
}

/** Where the namespaces of a pod are pinned; what is missing is the host's. */
export interface NamespacePaths {
  /** The user namespace that owns the others. */
  readonly user?: PinnedUser;
  readonly net?: string;
  readonly ipc?: string;
  readonly uts?: string;
  /** A pid namespace that the pod's containers share; an init of ours lives in it. */
  readonly pid?: string;
  /** The pod's /dev/shm, a tmpfs of `size` bytes. */
  readonly shm?: { readonly path: string; readonly size: number };
}

export interface NamespaceRequest extends NamespacePaths {
  readonly hostname?: string;
  /** By their names with dots, or with slashes. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** `cgroup.procs` or `tasks` files of the cgroup that the pod's init shall live in. */
  readonly cgroupProcs?: readonly string[];
  /** Held while they are made: a daemon that dies meanwhile leaves a maker that its successor has to end first. */
  readonly lock?: string;
}

const timeoutMs = 30_000;

/**
 * The file below /proc/sys of a sysctl's name. As in sysctl(8), the first separator says how the name is written: after
 * a dot, dots and slashes change places (`net.ipv4.conf.eth0/1.rp_filter` is of the interface `eth0.1`).
 */
export const sysctlPath = (name: string): string => {
  const dotted = (/[./]/.exec(name)?.[0] ?? '.') === '.';
  const path = dotted ? name.replaceAll(/[./]/g, (separator) => (separator === '.' ? '/' : '.')) : name;
  const parts = path.split('/');
  if (!parts.every((part) => /^[\w.:@-]+$/.test(part) && part !== '.' && part !== '..'))
    throw invalid(`sysctl ${JSON.stringify(name.slice(0, 256))}: not a name`);
  return path;
};

const pathsOf = ({ user, net, ipc, uts, pid, shm }: NamespacePaths): string[] =>
  [pid, net, ipc, uts, user?.path, shm?.path].filter((path) => path !== undefined);

const userArguments = (user: PinnedUser | undefined): string[] => {
  if (user?.uids === undefined || user.gids === undefined) return [];
  const { path, uids, gids } = user;
  return ['--user', path, ...[uids.hostID, uids.size, gids.hostID, gids.size].map(String)];
};

const argumentsOf = (request: NamespaceRequest): string[] => {
  const args = userArguments(request.user);
  for (const kind of ['net', 'ipc', 'uts', 'pid'] as const) {
    const path = request[kind];
    if (path !== undefined) args.push(`--${kind}`, path);
  }
  if (request.shm !== undefined) args.push('--shm', request.shm.path, `${request.shm.size}`);
  // The host's UTS namespace has its name already, and nobody may change it.
  if (request.uts !== undefined && request.hostname !== undefined) args.push('--hostname', request.hostname);
  for (const [name, value] of Object.entries(request.sysctls ?? {})) args.push('--sysctl', sysctlPath(name), value);
  return args;
};

const runRole = async (agent: Agent, verb: 'make' | 'remove', args: readonly string[], more: object): Promise<void> => {
  const name = `sandbox ${verb}`;
  const { code, stdout, stderr } = await agent.run({
    name,
    argv: [SELF, 'sandbox', verb, ...args],
    timeoutMs,
    ...more,
  });
  if (code === 0) return;
  const cause = errorOnStdout(stdout);
  const text = cause?.message ?? `ended with ${code} ${stderr.toString('utf8').trim()}`;
  throw new BerthError(cause?.code ?? 'internal', `${name}: ${text}`, { cause });
};

/** Makes the namespaces and pins each by a bind mount; all of it, or nothing is left. `lo` is up, the sysctls are set. */
export const makeNamespaces = async (agent: Agent, request: NamespaceRequest): Promise<void> => {
  if (pathsOf(request).length === 0) return;
  const { cgroupProcs = [], lock } = request;
  const init = request.pid === undefined ? {} : { template: true, cgroupProcs };
  const more = lock === undefined ? init : { ...init, lock };
  await runRole(agent, 'make', argumentsOf(request), more);
};

/** Takes the pins away, also what a broken `makeNamespaces` left; idempotent. */
export const removeNamespaces = async (agent: Agent, paths: NamespacePaths): Promise<void> => {
  const all = pathsOf(paths);
  if (all.length > 0) await runRole(agent, 'remove', all, {});
};
