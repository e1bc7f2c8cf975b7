import { lstat, stat } from 'node:fs/promises';
import { connect, createServer, type Server, type ServerOpts, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { BerthError, errnoOf, messageOf, orMissing } from '../base/errors.ts';
import { makeDirectory, removeTree } from '../base/files.ts';
import { type InheritedSocket, isHeldByInit } from './activation.ts';

/** Who may wait for a busy daemon to take them: the kernel refuses the next one, EAGAIN, and allows so many unless told otherwise. */
export const backlog = 4096;

/**
 * A server on a unix socket that only our own user can reach: the directory is made 0700, the socket is 0600 from its
 * first moment. A socket that nobody answers on is replaced; a live one is refused with `failed-precondition`.
 */
export const listen = async (
  path: string,
  onConnection: (socket: Socket) => void,
  options: ServerOpts = {},
): Promise<Server> => {
  const server = createServer(options, onConnection);
  await listenOn(server, path);
  return server;
};

/** The same for a server that is there. */
export const listenOn = async (server: Server, path: string): Promise<void> => {
  const directory = dirname(path);
  await makeDirectory(directory, 0o700);
  await checkDirectory(directory, path);
  await clearStale(path);
  await bind(server, path);
};

/**
 * Serves a socket that the service manager has bound, once `from` resolves: callers wait in it until then, and again when
 * the server is closed, since the socket stays.
 */
export const adopt = (
  { fd, path }: InheritedSocket,
  onConnection: (socket: Socket) => void,
  { from, onError }: { readonly from: Promise<unknown>; readonly onError: (error: BerthError) => void },
): Server => {
  const server = createServer(onConnection);
  let closed = false;
  server.once('close', () => {
    closed = true;
  });
  server.on('error', (error) => onError(refused(path, messageOf(error))));
  void from.then(() => closed || server.listen({ fd, backlog }));
  return server;
};

const refused = (path: string, cause: string): BerthError =>
  new BerthError('failed-precondition', `listen on ${path}: ${cause}`);

const checkDirectory = async (directory: string, path: string): Promise<void> => {
  const info = await stat(directory);
  if (!info.isDirectory()) throw refused(path, `${directory} is not a directory`);
  if (info.uid !== process.getuid?.()) throw refused(path, `${directory} belongs to uid ${info.uid}`);
  if ((info.mode & 0o022) !== 0)
    throw refused(
      path,
      `${directory} can be written by others (mode ${(info.mode & 0o7777).toString(8)}): chmod 0700 it`,
    );
};

/** Errors: `failed-precondition` when somebody answers at the path, or it is no socket. True when a stale one is there. */
export const refuseLive = async (path: string): Promise<boolean> => {
  const info = await orMissing(lstat(path));
  if (info === undefined) return false;
  if (!info.isSocket()) throw refused(path, 'there is something that is not a socket: remove it, or listen elsewhere');
  if (await isHeldByInit(path))
    throw refused(
      path,
      'systemd listens there, and starts its own daemon at the first call: systemctl start berth.service, or systemctl stop berth.socket berth.service before a start by hand',
    );
  if (await answers(path)) throw refused(path, 'another process answers there: is berthd running already?');
  return true;
};

const clearStale = async (path: string): Promise<void> => {
  if (await refuseLive(path)) await removeTree(path);
};

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      const errno = errnoOf(error);
      // a full backlog is a sign of life
      if (errno === 'EAGAIN') resolve(true);
      else if (errno === 'ECONNREFUSED' || errno === 'ENOENT') resolve(false);
      else reject(refused(path, `cannot tell whether a daemon is there: ${messageOf(error)}`));
    });
  });

/** Node binds within `listen`, so the umask holds for the socket alone and there is no moment at another mode. */
const bind = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', (error) => reject(refused(path, messageOf(error))));
    server.once('listening', resolve);
    const umask = process.umask(0o177);
    try {
      server.listen({ path, backlog });
    } finally {
      process.umask(umask);
    }
  });
