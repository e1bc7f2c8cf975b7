import { BerthError } from '../../base/errors.ts';
import type { Helper } from '../types.ts';
import { runHelper } from './helper.ts';
import type { TreeSize, TreeSums } from './trees.ts';

interface Tools {
  readonly helper: Helper;
  readonly program: string;
}

/**
 * What a file or a tree takes on disk; nothing where nothing is. `idle`: when nobody else wants processors or disk. What a
 * container writes meanwhile may be in it or not.
 */
export const treeSize = (tools: Tools, path: string, signal: AbortSignal, idle = false): Promise<TreeSize> =>
  measure(tools, path, signal, idle ? ['--idle'] : []);

export type MeasuredTree = TreeSize & { readonly sums: TreeSums };

/** For the sum of the content where each file is a blob, which is checked by its digest. */
export const inBlobs = 'in blobs';

/**
 * The same with the sums of what the tree has; every file is read for that of the content, unless the unpacker has it
 * already.
 */
export const measuredTree = async (
  tools: Tools,
  path: string,
  signal: AbortSignal,
  content?: string,
  idle = false,
): Promise<MeasuredTree> => {
  const what = ['--sum', ...(content === undefined ? ['--content'] : []), ...(idle ? ['--idle'] : [])];
  return withSums(await measure(tools, path, signal, what), content);
};

/** Reads what the helper wrote of a tree. `content`: its sum, where that is known already. */
export const toldTree = (text: string, what: string, content: string | undefined): MeasuredTree =>
  withSums(readMeasure(text, what), content);

const withSums = ({ bytes, inodes, ...found }: TreeSize & Partial<TreeSums>, content?: string): MeasuredTree => ({
  bytes,
  inodes,
  sums: { attributes: found.attributes ?? '', content: content ?? found.content ?? '' },
});

const pattern = /^bytes (\d+)\ninodes (\d+)\n(?:attributes ([0-9a-f]{16})\n)?(?:content ([0-9a-f]{16})\n)?$/;

const measure = async (
  { helper, program }: Tools,
  path: string,
  signal: AbortSignal,
  options: readonly string[],
): Promise<TreeSize & Partial<TreeSums>> => {
  const name = 'measure tree';
  const argv = [program, 'tree-usage', ...options, path];
  const { stdout } = await runHelper(helper, { argv, signal, name }, `${name} ${path}`);
  return readMeasure(stdout.toString('latin1'), `${name} ${path}`);
};

const readMeasure = (text: string, what: string): TreeSize & Partial<TreeSums> => {
  const match = pattern.exec(text);
  if (match === null) throw new BerthError('internal', `${what}: the helper's answer is not understood`);
  const [, bytes, inodes, attributes, content] = match;
  return {
    bytes: Number(bytes),
    inodes: Number(inodes),
    ...(attributes === undefined ? {} : { attributes }),
    ...(content === undefined ? {} : { content }),
  };
};
