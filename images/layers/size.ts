import { BerthError } from '../../base/errors.ts';
import type { Helper } from '../types.ts';
import { runHelper } from './helper.ts';
import type { TreeSize } from './trees.ts';

/** What a tree takes on disk, walked once when it is made. */
export const treeSize = async (
  { helper, program }: { readonly helper: Helper; readonly program: string },
  path: string,
  signal: AbortSignal,
): Promise<TreeSize> => {
  const name = 'measure tree';
  const { stdout } = await runHelper(helper, { argv: [program, 'tree-usage', path], signal, name }, `${name} ${path}`);
  const match = /^bytes (\d+)\ninodes (\d+)$/m.exec(stdout.toString('latin1'));
  if (match === null) throw new BerthError('internal', `${name} ${path}: the helper's answer is not understood`);
  return { bytes: Number(match[1]), inodes: Number(match[2]) };
};
