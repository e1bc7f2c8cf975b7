import { isIPv4, isIPv6 } from 'node:net';
import { BerthError, invalid } from '../../base/errors.ts';

/** An IPv4 network as numbers; `bits` is the prefix length. */
export interface Subnet {
  readonly base: number;
  readonly bits: number;
}

const maskOf = (bits: number): number => (bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0);

const numberOf = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);

export const formatSubnet = ({ base, bits }: Subnet): string =>
  `${[24, 16, 8, 0].map((shift) => (base >>> shift) & 0xff).join('.')}/${bits}`;

/** Undefined when the text is no IPv4 network (host bits set are refused too). */
export const parseSubnet = (text: string): Subnet | undefined => {
  const [address = '', length = '', ...rest] = text.split('/');
  if (!isIPv4(address) || !/^\d{1,2}$/.test(length) || rest.length > 0 || Number(length) > 32) return undefined;
  const subnet = { base: numberOf(address), bits: Number(length) };
  return (subnet.base & maskOf(subnet.bits)) >>> 0 === subnet.base ? subnet : undefined;
};

export const overlaps = (a: Subnet, b: Subnet): boolean => {
  const mask = maskOf(Math.min(a.bits, b.bits));
  return (a.base & mask) >>> 0 === (b.base & mask) >>> 0;
};

const littleEndian = (hex: string): number => Buffer.from(hex, 'hex').readUInt32LE(0);

export interface Route {
  readonly device: string;
  readonly subnet: Subnet;
}

/** Routes of /proc/net/route but the default route. */
export const parseRoutes = (text: string): readonly Route[] =>
  text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [device = '', destination = '', , , , , , mask = ''] = line.trim().split(/\s+/);
      if (!/^[0-9A-F]{8}$/.test(destination) || !/^[0-9A-F]{8}$/.test(mask)) return [];
      const bits = littleEndian(mask).toString(2).replaceAll('0', '').length;
      return bits === 0 ? [] : [{ device, subnet: { base: littleEndian(destination), bits } }];
    });

/** In this order: little used parts of 10/8, then 172.16/12, then /20s of 192.168/16. */
const candidates = (): readonly Subnet[] => [
  ...Array.from({ length: 45 }, (_, index) => ({ base: numberOf(`10.${210 + index}.0.0`), bits: 16 })),
  ...Array.from({ length: 210 }, (_, index) => ({ base: numberOf(`10.${index}.0.0`), bits: 16 })),
  ...Array.from({ length: 16 }, (_, index) => ({ base: numberOf(`172.${16 + index}.0.0`), bits: 16 })),
  ...Array.from({ length: 16 }, (_, index) => ({ base: numberOf(`192.168.${index * 16}.0`), bits: 20 })),
];

/**
 * The kept subnet while the bridge has it or no route of the host overlaps it, else the first candidate that no route
 * overlaps. A bridge in use cannot change its network: a VPN that comes later must not stop new pods.
 */
export const chooseSubnet = (routes: readonly Route[], bridge: string, kept: Subnet | undefined): Subnet => {
  const others = routes.filter(({ device }) => device !== bridge);
  const free = (subnet: Subnet): boolean => !others.some((route) => overlaps(route.subnet, subnet));
  const used = routes.some(({ device, subnet }) => device === bridge && kept !== undefined && overlaps(subnet, kept));
  if (kept !== undefined && (used || free(kept))) return kept;
  const chosen = candidates().find(free);
  if (chosen === undefined)
    throw new BerthError(
      'failed-precondition',
      'default network: every private subnet overlaps a route of the host: set network.embedded_subnet',
    );
  return chosen;
};

/** `network.embedded_subnet`: an IPv4 network, /20 or wider, and after a comma an IPv6 one, /112 or wider. */
export const parseSubnetSetting = (text: string): { readonly v4: Subnet; readonly v6: string | undefined } => {
  const [first = '', second, ...rest] = text.split(',').map((part) => part.trim());
  const v4 = parseSubnet(first);
  if (v4 === undefined || v4.bits > 20 || v4.bits < 8 || rest.length > 0)
    throw invalid(
      `network.embedded_subnet ${JSON.stringify(text)}: not an IPv4 network from /8 to /20, such as 10.210.0.0/16`,
    );
  if (second !== undefined && !isNetworkV6(second, 16, 112))
    throw invalid(
      `network.embedded_subnet ${JSON.stringify(second)}: not an IPv6 network from /16 to /112, such as fd00:210::/64`,
    );
  return { v4, v6: second };
};

/** An IPv6 network with a prefix of `least` to `most` bits and no host bits; none that stands for IPv4 addresses (::ffff:0:0/96). */
export const isNetworkV6 = (text: string, least: number, most: number): boolean => {
  const [address = '', length = '', ...rest] = text.split('/');
  if (!isIPv6(address) || !/^[0-9a-f:]+$/i.test(address) || !/^\d{2,3}$/.test(length) || rest.length > 0) return false;
  const bits = Number(length);
  const number = numberV6(address);
  return bits >= least && bits <= most && number % (1n << BigInt(128 - bits)) === 0n && number >> 32n !== 0xffffn;
};

const numberV6 = (address: string): bigint => {
  const [head = '', tail] = address.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const after = tail ?? [];
  const groups = [...head, ...Array<string>(8 - head.length - after.length).fill('0'), ...after];
  return groups.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
};
