import { join } from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { chainIds } from '../image-config.ts';
import type { Helper } from '../types.ts';
import { runHelper } from './helper.ts';
import { treeSize } from './size.ts';
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
  const lowers: Lower[] = [];
  for (const [i, diffId] of diffIds.entries()) {
    const chainId = chain[i] ?? diffId;
    const below = [...lowers];
    lowers.push({ kind: 'layer', digest: diffId });
    const records = await tools.layers.records(diffId);
    if (records.length === 0 || below.length === 0) continue;
    if (!tools.fixups.has(chainId)) await makeFixup(tools, { chainId, diffId, below, records, signal });
    lowers.push({ kind: 'fixup', digest: chainId });
  }
  return lowers;
};

export const lowerPath = ({ layers, fixups }: Pick<FixupTools, 'layers' | 'fixups'>, { kind, digest }: Lower): string =>
  (kind === 'layer' ? layers : fixups).tree(digest);

interface Fixup {
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly below: readonly Lower[];
  readonly records: Buffer;
  readonly signal: AbortSignal;
}

const makeFixup = async (tools: FixupTools, { chainId, diffId, below, records, signal }: Fixup): Promise<void> => {
  const { helper, program, fixups } = tools;
  await using scratch = await fixups.scratch('fixup');
  const name = `fix up layer ${diffId}`;
  const to = join(scratch.path, 'fs');
  // Topmost first.
  const paths = below.toReversed().map((lower) => lowerPath(tools, lower));
  const argv = [program, 'layer-fix', '--to', to, ...paths.flatMap((path) => ['--lower', path])];
  await runHelper(helper, { argv, stdin: records, signal, name });
  await fixups.add(chainId, scratch.path, await treeSize(tools, to, signal), Buffer.alloc(0));
};
