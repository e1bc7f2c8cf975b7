import { BlockList, isIP } from 'node:net';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:9464` or `[::1]:9464`; undefined for anything else. */
export const parseEndpoint = (text: string): Endpoint | undefined => {
  const [, six, four, port = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([1-9]\d{0,4})$/.exec(text) ?? [];
  const host = six ?? four ?? '';
  if (isIP(host) !== (six === undefined ? 4 : 6) || Number(port) > 65_535) return undefined;
  return { host, port: Number(port) };
};

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether others than this machine may reach it. */
export const isRemote = (text: string): boolean => {
  const endpoint = parseEndpoint(text);
  return endpoint !== undefined && !loopback.check(endpoint.host, isIP(endpoint.host) === 6 ? 'ipv6' : 'ipv4');
};
