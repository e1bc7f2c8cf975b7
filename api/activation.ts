import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BerthError, messageOf, orMissing } from '../base/errors.ts';

/** A listening unix socket that the service manager bound and keeps; its callers wait in it while no daemon runs. */
export interface InheritedSocket {
  readonly fd: number;
  /** As it was bound. */
  readonly path: string;
}

const firstFd = 3;
/** Flags of /proc/net/unix: somebody has called listen(2). */
const listening = 0x10000;
const stream = 1;

/**
 * The sockets that systemd handed over, by sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, if LISTEN_PID is this
 * process. Programs that become one another keep the pid, so wrappers may stand between. Errors: `failed-precondition` for
 * a descriptor that is no listening unix stream socket with a path.
 */
export const inheritedSockets = async (
  env: NodeJS.ProcessEnv = process.env,
  pid: number = process.pid,
): Promise<readonly InheritedSocket[]> => {
  const { LISTEN_FDS: count, LISTEN_PID: owner } = env;
  if (count === undefined || owner !== `${pid}`) return [];
  if (!/^\d{1,3}$/.test(count)) throw refused(`LISTEN_FDS is ${JSON.stringify(count)}, not a count of descriptors`);
  const sockets = parseUnixSockets(await readFile('/proc/self/net/unix', 'utf8'));
  return Promise.all(Array.from({ length: Number(count) }, (_, index) => identify(firstFd + index, sockets)));
};

/** Whether one of them was bound at `path`, also where either is reached through a link, as /var/run leads to /run. */
export const isBoundAt = async (inherited: readonly InheritedSocket[], path: string): Promise<boolean> => {
  const own = await realPlace(path);
  const places = await Promise.all(inherited.map((socket) => realPlace(socket.path)));
  return places.includes(own);
};

/**
 * Whether PID 1 listens at `path`: whoever connects makes it start the service that the socket belongs to. False where that cannot
 * be seen, as by others than root.
 */
export const isHeldByInit = async (path: string): Promise<boolean> => {
  const held = await readdir('/proc/1/fd').catch(() => []);
  const targets = await Promise.all(held.map((fd) => readlink(`/proc/1/fd/${fd}`).catch(() => '')));
  return isBoundBy(targets, parseUnixSockets(await readFile('/proc/self/net/unix', 'utf8')), path);
};

/** Whether one of `targets`, links of /proc/PID/fd, is bound at `path`. Of others no path is followed: pods choose theirs. */
export const isBoundBy = async (
  targets: readonly string[],
  sockets: ReadonlyMap<string, string>,
  path: string,
): Promise<boolean> => {
  const bound = targets.flatMap((target) => sockets.get(inodeOf(target)) ?? []);
  const places = await Promise.all(bound.map((one) => realPlace(one).catch(() => one)));
  return places.includes(await realPlace(path));
};

const inodeOf = (target: string): string => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? '';

/** The socket itself may be gone. */
const realPlace = async (path: string): Promise<string> => {
  const directory = dirname(path);
  return join((await orMissing(realpath(directory))) ?? directory, basename(path));
};

const refused = (cause: string): BerthError => new BerthError('failed-precondition', `socket activation: ${cause}`);

const identify = async (fd: number, paths: ReadonlyMap<string, string>): Promise<InheritedSocket> => {
  const target = await readlink(`/proc/self/fd/${fd}`).catch((error: unknown) => {
    throw refused(`LISTEN_FDS counts descriptor ${fd}: ${messageOf(error)}`);
  });
  const path = paths.get(inodeOf(target));
  if (path === undefined) throw refused(`descriptor ${fd} (${target}) is no listening unix stream socket with a path`);
  return { fd, path };
};

/** Inode → path, of the listening stream sockets in the text of /proc/net/unix. */
export const parseUnixSockets = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const [, flags = '', type = '', inode = '', path = ''] =
        /^\S+ \S+ \S+ ([0-9A-F]{8}) ([0-9A-F]{4}) [0-9A-F]{2} +(\d+) (\/.*)$/.exec(line) ?? [];
      const serves = (Number.parseInt(flags, 16) & listening) !== 0 && Number.parseInt(type, 16) === stream;
      return serves ? [[inode, path]] : [];
    }),
  );
