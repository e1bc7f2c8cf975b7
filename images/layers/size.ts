import { BerthError } from '../../base/errors.ts';
import type { Helper } from '../types.ts';
import { runHelper } from './helper.ts';
import type { TreeSize } from './trees.ts';

/**
 * What a file or a tree takes on disk; nothing where nothing is. `idle`: when nobody else wants processors or disk. What a
 * container writes meanwhile may be in it or not.
 */
export const treeSize = async (
  { helper, program }: { readonly helper: Helper; readonly program: string },
  path: string,
  signal: AbortSignal,
  idle = false,
): Promise<TreeSize> => {
  const name = 'measure tree';
  const argv = [program, 'tree-usage', ...(idle ? ['--idle'] : []), path];
  const { stdout } = await runHelper(helper, { argv, signal, name }, `${name} ${path}`);
  const match = /^bytes (\d+)\ninodes (\d+)$/m.exec(stdout.toString('latin1'));
  if (match === null) throw new BerthError('internal', `${name} ${path}: the helper's answer is not understood`);
  return { bytes: Number(match[1]), inodes: Number(match[2]) };
};
