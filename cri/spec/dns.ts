import { isIP } from 'node:net';
import { invalid } from '../../base/errors.ts';
import type { DnsConfig } from './types.ts';
import { plainText } from './values.ts';

const word = (text: string, field: string): string => {
  if (text === '' || /\s/.test(plainText(text, field, 1024)))
    throw invalid(`dns_config.${field}: ${JSON.stringify(text)} is not one word`);
  return text;
};

const server = (text: string): string => {
  if (isIP(text.replace(/%[A-Za-z0-9_.-]+$/, '')) === 0)
    throw invalid(`dns_config.servers: ${JSON.stringify(text.slice(0, 128))} is not an address`);
  return word(text, 'servers');
};

/** The text of the pod's /etc/resolv.conf (resolv.conf(5)); undefined when nothing is set: then the host's is copied. */
export const resolvConf = (config: DnsConfig | undefined): string | undefined => {
  if (!config) return undefined;
  const { servers = [], searches = [], options = [] } = config;
  if (servers.length + searches.length + options.length === 0) return undefined;
  const search = searches.map((text) => word(text, 'searches')).join(' ');
  const option = options.map((text) => word(text, 'options')).join(' ');
  return [
    ...(search ? [`search ${search}`] : []),
    ...servers.map((text) => `nameserver ${server(text)}`),
    ...(option ? [`options ${option}`] : []),
    '',
  ].join('\n');
};

const hostsHead = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::0\tip6-localnet',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

/** The text of the pod's /etc/hosts (hosts(5)); kubelet mounts its own over it. `addresses` are the pod's. */
export const hostsFile = (hostname: string, addresses: readonly string[]): string =>
  [...hostsHead, ...addresses.map((address) => `${address}\t${hostname}`), ''].join('\n');
