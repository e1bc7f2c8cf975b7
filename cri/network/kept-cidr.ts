import { messageOf } from '../../base/errors.ts';
import { readLimited, writeAtomic } from '../../base/files.ts';
import type { Conflist } from './conflist.ts';
import { rangesFor } from './embedded.ts';
import { asObject, type JsonObject, objectAt, parseJson, stringAt, stringsAt } from './json.ts';
import { type KeptCidr, type PodCidr, parsePodCidr } from './pod-cidr.ts';
import type { NetworkLog } from './types.ts';

/** `<root>/cni/pod-cidr.json`: the kubelet tells it once, and need not be there at the next start. */
export const readKeptCidr = async (path: string, log: NetworkLog): Promise<KeptCidr | undefined> => {
  const bytes = await readLimited(path, 1 << 16);
  if (bytes === undefined) return undefined;
  try {
    const raw = asObject(parseJson(bytes.toString('utf8'), path), path);
    return { cidr: parsePodCidr(stringsAt(raw, 'cidrs', path).join(',')), bridge: stringAt(raw, 'bridge', path) };
  } catch (error) {
    log.warn({ err: error }, `the node's pod CIDR is not known until the kubelet tells it again: ${messageOf(error)}`);
    return undefined;
  }
};

export const writeKeptCidr = (path: string, { cidr, bridge }: KeptCidr): Promise<void> =>
  writeAtomic(path, JSON.stringify({ version: 1, cidrs: cidr.texts, bridge }));

const rangesOf = (raw: JsonObject): string => JSON.stringify(objectAt(raw, 'ipam', 'plugin bridge')?.ranges);

const mostBridges = 100;

/** An interface's name has 15 letters at most. */
const bridgeName = (first: string, at: number): string => (at === 0 ? first : `${first.slice(0, 12)}-${at}`);

/** The bridges that the default network may have when this is the first. */
export const bridgesOf = (first: string): readonly string[] =>
  Array.from({ length: mostBridges }, (_, at) => bridgeName(first, at));

/**
 * The bridge for new pods. One that pods with other addresses are on is left to them: the plugin would take away its
 * address, which is their way out. `inUse` are the configurations that attachments were made with.
 */
export const chooseBridge = (first: string, cidr: PodCidr, inUse: readonly Conflist[]): string => {
  const names = bridgesOf(first);
  const used = inUse.flatMap(({ plugins: [plugin] }) =>
    plugin?.type === 'bridge' ? [{ bridge: plugin.raw.bridge, ranges: rangesOf(plugin.raw) }] : [],
  );
  const wanted = JSON.stringify(rangesFor(cidr));
  const own = used.find(({ ranges, bridge }) => ranges === wanted && names.includes(String(bridge)));
  const free = names.find((name) => !used.some(({ bridge }) => bridge === name));
  return own === undefined ? (free ?? first) : String(own.bridge);
};
