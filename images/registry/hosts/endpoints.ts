import { isIPv4 } from 'node:net';
import type { Log } from '../../types.ts';
import { readTlsMaterial, type TlsMaterial } from './certificates.ts';
import { readHostDirectory } from './directory.ts';
import { type HostTable, plainTable } from './table.ts';
import { baseOf, type Capability } from './values.ts';

export type { Capability } from './values.ts';

/** How the hosts that one endpoint leads to are connected to: itself, those that it redirects to, those of its tokens. */
export interface Connection {
  readonly tls: TlsMaterial | undefined;
  /** What a connection may take to be made. */
  readonly dialMs: number;
  /** Plain HTTP is what the configuration wants: a redirect to it takes nothing away. */
  readonly isPlain: boolean;
}

/** One place to ask for the images of a registry: a mirror, or the registry itself. */
export interface Endpoint {
  /** Whose credentials are shown: `docker.io`, `mirror.example:5000`. */
  readonly host: string;
  /** The API's root: `https://mirror.example:5000/v2/`. */
  readonly base: URL;
  /** The registry that a mirror is asked about (`?ns=`); undefined for the registry itself. */
  readonly namespace: string | undefined;
  readonly capabilities: ReadonlySet<Capability>;
  /** For this origin, and for no other. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly connection: Connection;
  /** On the loopback nothing says which it is: HTTP where the host does not speak TLS. */
  readonly fallsBack: boolean;
}

export const defaultDialMs = 30_000;
export const standardConnection: Connection = { tls: undefined, dialMs: defaultDialMs, isPlain: false };

export interface EndpointSettings {
  /** Directories as /etc/containerd/certs.d, the first that speaks of a registry counts. */
  readonly configPath: readonly string[];
  /** `host` or `host:port` that are spoken to without TLS. */
  readonly plainHttp: readonly string[];
}

/** Where to ask for a registry's images, in order; read anew each time. Throws failed-precondition for a wrong file. */
export const endpointsOf = async (settings: EndpointSettings, host: string, log: Log): Promise<readonly Endpoint[]> => {
  const file = await readHostDirectory(settings.configPath, host);
  for (const warning of file?.warnings ?? []) log.warn({ registry: host }, warning);
  const tables = file?.hosts ?? [plainTable];
  return Promise.all(tables.map((table) => endpointOf(table, host, settings)));
};

const endpointOf = async (table: HostTable, registry: string, settings: EndpointSettings): Promise<Endpoint> => {
  const tls = await readTlsMaterial(table);
  const isOwnPlain = table.base === undefined && isPlainHost(settings.plainHttp, registry);
  const base = table.base ?? baseOf(`${isOwnPlain ? 'http' : 'https'}://${registry}`, false);
  const isRegistry = table.base === undefined || urlHost(registry) === base.host;
  return {
    host: isRegistry ? registry : base.host,
    base,
    namespace: isRegistry ? undefined : registry,
    capabilities: table.capabilities,
    headers: table.headers,
    connection: { tls, dialMs: table.dialMs ?? defaultDialMs, isPlain: base.protocol === 'http:' },
    fallsBack: table.base === undefined && !isOwnPlain && tls === undefined && isLocalWithPort(registry),
  };
};

/** Without the port of HTTPS, and that of Docker Hub's API. */
const urlHost = (registry: string): string => baseOf(`https://${registry}`, false).host;

export const isPlainHost = (plainHttp: readonly string[], host: string): boolean => {
  const name = host.toLowerCase();
  return plainHttp.some((entry) => [name, name.replace(/:\d+$/, '')].includes(entry.toLowerCase()));
};

/** As containerd and Docker take `localhost:5000`; the port of HTTPS is HTTPS. */
const isLocalWithPort = (host: string): boolean => {
  const match = /^(.+):(\d+)$/.exec(host.toLowerCase());
  if (match === null || match[2] === '443') return false;
  const name = match[1] ?? '';
  return name === 'localhost' || name === '[::1]' || (isIPv4(name) && name.startsWith('127.'));
};
