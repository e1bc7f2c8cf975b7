import { normalize } from 'node:path';
import { longestSocketPath, socketPath } from '../../api/address.ts';
import { messageOf } from '../../base/errors.ts';
import { isRemote, parseEndpoint } from '../observe/endpoint.ts';
import type { Config } from './index.ts';

/** What is wrong with keys that are right one by one; `names` are those keys. */
export interface Conflict {
  readonly names: readonly string[];
  readonly text: string;
}

/** What no key can know alone. */
export const checkTogether = (config: Config): Conflict[] =>
  [
    { names: ['state'], text: stateLength(config) },
    { names: ['listen', 'state'], text: listenLength(config) },
    { names: ['root', 'state'], text: nested(config) },
    { names: ['limits.nofile_soft', 'limits.nofile_hard'], text: openFiles(config) },
    { names: ['streaming.tls_cert', 'streaming.tls_key', 'streaming.tls_client_ca'], text: certificates(config) },
    { names: ['network.embedded_subnet', 'network.conf_template'], text: template(config) },
    { names: ['metrics.address', 'metrics.allow_remote'], text: remote(config) },
    { names: ['metrics.address', 'listen'], text: oneSocket(config) },
    { names: ['listen', 'state'], text: ownFile('listen')(config) },
    { names: ['metrics.address', 'state'], text: ownFile('metrics.address')(config) },
    { names: ['metrics.address', 'streaming.port'], text: onePort(config) },
    { names: ['cgroup.parent', 'cgroup.driver'], text: otherDriver(config) },
  ].flatMap(({ names, text }) => (text === undefined ? [] : [{ names, text }]));

/** Sockets in the state directory are `<state>/<name of ten bytes at most>`; deeper ones are reached by a short path. */
const longestState = longestSocketPath - '/berth.sock'.length;

const stateLength = ({ state }: Config): string | undefined => {
  const bytes = Buffer.byteLength(state);
  if (bytes <= longestState) return undefined;
  return `state: ${state} has ${bytes} bytes; ${longestState} are allowed, since a socket's path can have ${longestSocketPath}`;
};

const listenLength = ({ listen }: Config): string | undefined => {
  try {
    socketPath(listen);
    return undefined;
  } catch (error) {
    return `listen: ${messageOf(error)}`;
  }
};

const remote = ({ metrics }: Config): string | undefined =>
  !metrics.allow_remote && isRemote(metrics.address)
    ? `metrics.address: ${metrics.address} is not of the loopback: set metrics.allow_remote if everybody who reaches it may read`
    : undefined;

/** The same file by another spelling is the same socket. */
const fileOf = (address: string): string | undefined =>
  address.startsWith('unix://') ? normalize(address.slice('unix://'.length)) : undefined;

const oneSocket = ({ metrics, listen }: Config): string | undefined =>
  fileOf(metrics.address) === fileOf(listen)
    ? `metrics.address: ${metrics.address} is what listen has: give it a socket of its own`
    : undefined;

/** What the daemon itself has in the state directory. */
const taken = ['local.sock', 'fwd.sock', 'sandboxes', 'containers'];

const ownFile =
  (key: 'listen' | 'metrics.address') =>
  (config: Config): string | undefined => {
    const address = key === 'listen' ? config.listen : config.metrics.address;
    const name = taken.find((one) => fileOf(address) === normalize(`${config.state}/${one}`));
    return name === undefined
      ? undefined
      : `${key}: ${address} is berthd's own ${name} in the state directory: give it another name`;
  };

const onePort = ({ metrics, streaming }: Config): string | undefined => {
  const endpoint = parseEndpoint(metrics.address);
  if (endpoint === undefined || endpoint.port !== streaming.port) return undefined;
  const all = ['0.0.0.0', '::'];
  const meet =
    endpoint.host === streaming.address || [endpoint.host, streaming.address].some((one) => all.includes(one));
  return meet ? `metrics.address: ${metrics.address} is where streaming.address and streaming.port listen` : undefined;
};

/** With "auto" the parent says whose it is. */
const otherDriver = ({ cgroup: { driver, parent } }: Config): string | undefined => {
  if (parent === '' || driver === 'auto' || parent.endsWith('.slice') === (driver === 'systemd')) return undefined;
  const wanted = driver === 'systemd' ? 'a slice such as "berth.slice"' : 'a path such as "/berth"';
  return `cgroup.parent: ${parent} is no parent for cgroup.driver = "${driver}": give ${wanted}`;
};

const inside = (inner: string, outer: string): boolean =>
  inner === outer || inner.startsWith(`${outer.replace(/\/$/, '')}/`);

const nested = ({ root, state }: Config): string | undefined =>
  inside(root, state) || inside(state, root)
    ? `root and state: ${root} and ${state} must be apart: a reboot empties one of them`
    : undefined;

const openFiles = ({ limits }: Config): string | undefined =>
  limits.nofile_soft > limits.nofile_hard
    ? `limits.nofile_soft: ${limits.nofile_soft} is more than limits.nofile_hard, ${limits.nofile_hard}`
    : undefined;

const certificates = ({ streaming }: Config): string | undefined => {
  if ((streaming.tls_cert === '') !== (streaming.tls_key === ''))
    return 'streaming.tls_cert and streaming.tls_key: one is set without the other';
  return streaming.tls_cert === '' && streaming.tls_client_ca !== ''
    ? 'streaming.tls_client_ca: set without streaming.tls_cert; without TLS nobody is asked for a certificate'
    : undefined;
};

const template = ({ network }: Config): string | undefined =>
  network.conf_template === '' || ['', 'none'].includes(network.embedded_subnet)
    ? undefined
    : 'network.embedded_subnet: set beside network.conf_template, with which there is no default network';
