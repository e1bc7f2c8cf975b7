import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { orMissing } from '../../base/errors.ts';
import { makeDirectory, readLimited, writeAtomic } from '../../base/files.ts';
import { type Conflist, parseConflist } from './conflist.ts';
import type { JsonObject } from './json.ts';
import type { KeptCidr } from './pod-cidr.ts';
import { chooseSubnet, formatSubnet, parseRoutes, parseSubnet, parseSubnetSetting, type Subnet } from './subnet.ts';
import type { CapabilityArgs, NetworkConfig } from './types.ts';

/** Name of the default network; host-local keeps its leases in a directory of this name. */
export const embeddedName = 'berth-default';
const fileName = '10-berth.conflist';

interface Subnets {
  readonly v4: Subnet | undefined;
  readonly v6: string | undefined;
}

/** host-local's `ranges`: one a family. */
export const rangesFor = ({ v4, v6 }: Subnets): JsonObject[][] => [
  ...(v4 === undefined ? [] : [[{ subnet: formatSubnet(v4) }]]),
  ...(v6 === undefined ? [] : [[{ subnet: v6 }]]),
];

export const zeroV4 = '0.0.0.0/0';
export const zeroV6 = '::/0';

const ipam = (subnets: Subnets, dataDir: string): JsonObject => ({
  type: 'host-local',
  dataDir,
  ranges: rangesFor(subnets),
  routes: [
    ...(subnets.v4 === undefined ? [] : [{ dst: zeroV4 }]),
    ...(subnets.v6 === undefined ? [] : [{ dst: zeroV6 }]),
  ],
});

/** The default network as a conflist for the standard plugins; `bridge` are the keys that say which one. */
export const embeddedConflist = (bridge: JsonObject, subnets: Subnets, dataDir: string): JsonObject => ({
  cniVersion: '1.0.0',
  cniVersions: ['0.4.0', '1.0.0', '1.1.0'],
  name: embeddedName,
  plugins: [
    { type: 'bridge', ...bridge, isGateway: true, ipMasq: true, hairpinMode: true, ipam: ipam(subnets, dataDir) },
    { type: 'portmap', capabilities: { portMappings: true }, snat: true },
  ],
});

/** The subnet that an earlier start chose, so that pods keep one bridge over restarts. */
const keptSubnet = async (path: string): Promise<Subnet | undefined> => {
  const bytes = await readLimited(path, 1 << 20);
  const match = /"subnet":\s*"([0-9./]+)"/.exec(bytes?.toString('utf8') ?? '');
  return match?.[1] === undefined ? undefined : parseSubnet(match[1]);
};

const subnetsFor = async (config: NetworkConfig, path: string, kept: KeptCidr | undefined): Promise<Subnets> => {
  if (config.embeddedSubnet !== '') return parseSubnetSetting(config.embeddedSubnet);
  if (kept !== undefined) return kept.cidr;
  const table = (await orMissing(readFile('/proc/net/route', 'utf8'))) ?? '';
  return { v4: chooseSubnet(parseRoutes(table), config.embeddedBridge, await keptSubnet(path)), v6: undefined };
};

/**
 * The default network, used while the configuration directory has no file. IPv4 only unless the setting names an IPv6
 * network: forwarding IPv6 stops the host from taking its own routes from router advertisements. `kept` is what the
 * cluster gave the node, which counts where no subnet is set; its bridge is free of pods with other addresses, so that
 * an address which an earlier network has left on it may go.
 */
export const writeEmbedded = async (config: NetworkConfig, directory: string, kept?: KeptCidr): Promise<Conflist> => {
  await makeDirectory(directory);
  const path = join(directory, fileName);
  const subnets = await subnetsFor(config, path, kept);
  const follows = kept !== undefined && config.embeddedSubnet === '';
  const bridge = follows ? { bridge: kept.bridge, forceAddress: true } : { bridge: config.embeddedBridge };
  const raw = embeddedConflist(bridge, subnets, join(directory, 'leases'));
  const text = `${JSON.stringify(raw, undefined, 2)}\n`;
  const bytes = await readLimited(path, 1 << 20);
  if (bytes?.toString('utf8') !== text) await writeAtomic(path, text);
  return parseConflist(text, path);
};

/** In the default network a plugin that only serves capabilities is left out for a pod that asks for none of them. */
export const onlyAsked = (conflist: Conflist, args: CapabilityArgs): Conflist => ({
  ...conflist,
  plugins: conflist.plugins.filter(
    ({ capabilities }) => capabilities.length === 0 || capabilities.some((name) => args[name] !== undefined),
  ),
});
