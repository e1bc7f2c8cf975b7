import { join } from 'node:path';
import { type InheritedSocket, isBoundAt } from '../api/activation.ts';
import { socketPath } from '../api/address.ts';
import { listen, refuseLive } from '../api/listen.ts';
import type { Config } from './config/index.ts';

/**
 * Makes this the only daemon of its root directory, before anything in it is touched: a second one would take the first
 * one's unfinished work for the rest of a dead daemon, and remove it. A socket is the claim, since it ends with its
 * process. A socket that the service manager has bound answers for nobody. Errors: `failed-precondition` when a daemon answers there or at `listen`.
 */
export const claimRoot = async (
  { root, listen: address }: Config,
  inherited: readonly InheritedSocket[],
): Promise<AsyncDisposable> => {
  const own = socketPath(address);
  if (!(await isBoundAt(inherited, own))) await refuseLive(own);
  const server = await listen(join(root, 'berthd.sock'), (socket) => socket.destroy());
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
};
