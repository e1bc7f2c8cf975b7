import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { registryHost, testImages } from './images.ts';
import { until } from './until.ts';
import type { World } from './world.ts';

/** htpasswd's line for the user `berth` with the password `secret`. */
const account = 'berth:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a';

interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

const configuration = (
  storage: string,
  address: string,
  passwords: string | undefined,
  tls: Certificate | undefined,
  writable: boolean,
): string => `version: 0.1
log: { level: warn }
storage:
  filesystem: { rootdirectory: ${storage} }
  maintenance: { readonly: { enabled: ${!writable} } }
http: { addr: ${address}${tls === undefined ? '' : `, tls: { certificate: ${tls.certificate}, key: ${tls.key} }`} }
${passwords === undefined ? '' : `auth: { htpasswd: { realm: test, path: ${passwords} } }\n`}`;

const listens = async (world: World, address: string): Promise<boolean> => {
  const port = Number(address.split(':').at(-1)).toString(16).toUpperCase().padStart(4, '0');
  const sockets = await world.sh('cat /proc/net/tcp');
  return new RegExp(`:${port} \\d+:0000 0A `).test(sockets);
};

/**
 * Debian's docker-registry in the world, on its loopback, with the images of images.ts. `password`: only user `berth`
 * with the password `secret` may pull. `storage`: serves what `writeRegistry` made there instead. `tls`: paths of a
 * certificate chain and its key. `writable`: empty, in the world, and images can be pushed to it.
 */
export const startRegistry = async (
  world: World,
  options: {
    readonly address?: string;
    readonly password?: boolean;
    readonly storage?: string;
    readonly tls?: Certificate;
    /** Where its requests are logged, a line each. */
    readonly log?: string;
    readonly writable?: boolean;
  } = {},
): Promise<void> => {
  const { address = registryHost, password = false, writable = false } = options;
  const name = address.replaceAll(/\W/g, '-');
  const own = writable ? world.path(`registry-${name}`) : undefined;
  const storage = options.storage ?? own ?? join(await testImages(), 'registry');
  const passwords = world.path(`registry-${name}.htpasswd`);
  const file = world.path(`registry-${name}.yml`);
  if (password) await writeFile(passwords, `${account}\n`);
  await writeFile(file, configuration(storage, address, password ? passwords : undefined, options.tls, writable));
  const log = options.log === undefined ? undefined : await open(options.log, 'w');
  const child = world.spawn('docker-registry', ['serve', file], { stdio: ['ignore', log?.fd ?? 'ignore', 'ignore'] });
  await log?.close();
  await until(`the registry at ${address} listens`, () => {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with status ${child.exitCode}`);
    return listens(world, address);
  });
};
