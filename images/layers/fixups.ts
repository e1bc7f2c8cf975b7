import { join } from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { invalid } from '../../base/errors.ts';
import { chainIds } from '../image-config.ts';
import type { Paths } from '../paths.ts';
import type { Helper } from '../types.ts';
import { runHelper } from './helper.ts';
import { parseReport, type RootAttributes } from './report.ts';
import { measuredTree } from './size.ts';
import type { Trees } from './trees.ts';

export interface FixupTools {
  readonly helper: Helper;
  readonly program: string;
  readonly layers: Trees;
  readonly fixups: Trees;
}

/** A lower directory of an image; a fix-up layer goes above the layer that needs it. */
export interface Lower {
  readonly kind: 'layer' | 'fixup';
  readonly digest: Digest;
}

/**
 * The lower directories of an image, lowest first. A layer that had to invent parents, or that links to files it lacks,
 * gets a fix-up layer with what the layers below say about them; it depends on all of those, so its key is the ChainID.
 */
export const stackLowers = async (
  tools: FixupTools,
  diffIds: readonly Digest[],
  signal: AbortSignal,
): Promise<readonly Lower[]> => {
  const chain = chainIds(diffIds);
  let lowers: Lower[] = [];
  for (const [i, diffId] of diffIds.entries()) {
    // Overlayfs asks no root whether it is opaque: what such a layer hides must not be among the lowers.
    const below = tools.layers.facts(diffId)?.isOpaque === true ? [] : lowers;
    lowers = [...below, { kind: 'layer', digest: diffId }];
    const records = await tools.layers.records(diffId);
    if (records.length === 0) continue;
    const chainId = chain[i] ?? diffId;
    if (below.length === 0) checkBottom(diffId, records);
    else if (await hasFixup(tools, { chainId, diffId, below, signal })) lowers.push({ kind: 'fixup', digest: chainId });
  }
  return lowers;
};

/** Nothing lies below the lowest layer: what it links to must be in it. */
const checkBottom = (diffId: Digest, records: Buffer): void => {
  const what = `layer ${diffId}`;
  if (parseReport(records, what).hardlinks > 0) throw invalid(`${what}: it has hard links to files that are not there`);
};

/** The root directory of the merged tree as the topmost layer with an entry for it has it. */
export const rootOf = ({ layers }: Pick<FixupTools, 'layers'>, lowers: readonly Lower[]): RootAttributes => {
  const said = lowers
    .toReversed()
    .map(({ kind, digest }) => (kind === 'layer' ? layers.facts(digest)?.root : undefined));
  return said.find((root) => root !== undefined) ?? { mode: 0o755, uid: 0, gid: 0 };
};

const lowerPath = ({ layers, fixups }: Pick<FixupTools, 'layers' | 'fixups'>, { kind, digest }: Lower): string =>
  (kind === 'layer' ? layers : fixups).tree(digest);

/**
 * What is mounted, topmost first. A layer that an image has twice counts where it is topmost: all that it says further down it
 * says there as well, and overlayfs takes no directory twice (ELOOP). An image without layers is an empty directory.
 */
export const lowerPaths = (
  { layers, fixups, paths }: Pick<FixupTools, 'layers' | 'fixups'> & { readonly paths: Paths },
  lowers: readonly Lower[],
): readonly string[] => {
  const all = new Set(lowers.toReversed().map((lower) => lowerPath({ layers, fixups }, lower)));
  return all.size === 0 ? [paths.empty] : [...all];
};

interface Fixup {
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly below: readonly Lower[];
  readonly signal: AbortSignal;
}

/** Makes the fix-up layer; false when the layers below have nothing to say. */
const hasFixup = async (tools: FixupTools, { chainId, diffId, below, signal }: Fixup): Promise<boolean> => {
  const { helper, program, layers, fixups } = tools;
  if (fixups.has(chainId)) return true;
  await using scratch = await fixups.scratch('fixup');
  const to = join(scratch.path, 'fs');
  // Topmost first.
  const paths = below.toReversed().map((lower) => lowerPath(tools, lower));
  const layer = ['--layer', layers.tree(diffId), '--records', layers.recordsPath(diffId)];
  const argv = [program, 'layer-fix', '--to', to, ...layer, '--lower', ...paths];
  const { stdout } = await runHelper(helper, { argv, signal, name: 'fix up layer' }, `fix up layer ${diffId}`);
  if (parseReport(stdout, `fix-up of layer ${diffId}`).entries === 0) return false;
  await fixups.add(chainId, scratch.path, await measuredTree(tools, to, signal), Buffer.alloc(0));
  return true;
};
