import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Image, type ImageSettings, image, type Layer, layer, writeLayout, writeRegistry } from './image.ts';
import type { TarEntry } from './tar.ts';
import { sourceTree } from './tree.ts';

const run = promisify(execFile);

export const registryHost = '127.0.0.1:5000';
const named = (name: string): string => `${registryHost}/berth/${name}`;

/** What the tests run: busybox with the programs of critest/harness/programs, and small variations of its config. */
export const names = {
  busybox: named('busybox:1'),
  /** The same image under another tag. */
  busyboxToo: named('busybox:2'),
  /** Two layers: the upper one removes /removed, makes /opaque anew and adds /added. */
  layered: named('layered:1'),
  /** 90 layers: each adds /layer-N and makes /top anew. */
  deep: named('deep:1'),
  userUid: named('user-uid:1'),
  userName: named('user-name:1'),
  userUidGid: named('user-uid-gid:1'),
  userNameGroup: named('user-name-group:1'),
  userUnknown: named('user-unknown:1'),
  userTooLarge: named('user-too-large:1'),
  /** uid 1000 is in group 50000 by the image's /etc/group. */
  groups: named('groups:1'),
  stopSignal: named('stop-signal:1'),
  /** Entrypoint `sh -c`, Cmd `echo from the image`, Env COLOUR=green, WorkingDir /work. */
  entrypoint: named('entrypoint:1'),
  volume: named('volume:1'),
  labels: named('labels:1'),
  /** /proc leads to /trap, which holds the file `untouched`. */
  linkedProc: named('linked-proc:1'),
  /** The same with /dev. */
  linkedDev: named('linked-dev:1'),
  /** /masked-link leads to /target, which holds `secret`. */
  maskedLink: named('masked-link:1'),
  /** No Cmd and no Entrypoint. */
  empty: named('empty:1'),
} as const;

const directory = (name: string, mode = 0o755): TarEntry => ({ name: `${name}/`, type: 'directory', mode });

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
tester:x:1000:1000:a tester:/home/tester:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
`;
const group = `root:x:0:
daemon:x:1:
www-data:x:33:
tester:x:1000:
members:x:50000:tester
nogroup:x:65534:
`;

const programs = async (): Promise<TarEntry[]> => {
  const sources = join(sourceTree, 'critest/harness/programs');
  const out = await mkdtemp('/tmp/bt-programs-');
  const entries: TarEntry[] = [];
  for (const file of (await readdir(sources)).filter((name) => name.endsWith('.c')).sort()) {
    const name = file.slice(0, -2);
    await run('gcc', ['-O2', '-static', '-Wall', '-Werror', '-o', join(out, name), join(sources, file)]);
    // setuid root: without no_new_privs it would gain what the container's user lacks
    entries.push({
      name: `bin/${name}`,
      mode: name === 'whoami-setuid' ? 0o4755 : 0o755,
      data: await readFile(join(out, name)),
    });
  }
  await rm(out, { recursive: true });
  return entries;
};

const baseEntries = async (): Promise<TarEntry[]> => {
  const { stdout } = await run('/bin/busybox', ['--list']);
  const applets = stdout
    .trim()
    .split('\n')
    .filter((name) => name !== 'busybox' && /^[[\w-]+$/.test(name));
  return [
    ...['bin', 'dev', 'etc', 'home', 'home/tester', 'proc', 'root', 'run', 'sys', 'usr', 'var', 'var/www'].map((name) =>
      directory(name),
    ),
    directory('tmp', 0o1777),
    { name: 'etc/passwd', data: passwd },
    { name: 'etc/group', data: group },
    { name: 'bin/busybox', mode: 0o755, data: await readFile('/bin/busybox') },
    ...applets.map((name): TarEntry => ({ name: `bin/${name}`, type: 'hardlink', link: 'bin/busybox', mode: 0o755 })),
    ...(await programs()),
  ];
};

const env = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];

const manyLayers = (count: number): Layer[] =>
  Array.from({ length: count }, (_, index) =>
    layer([
      { name: `layer-${index}`, data: '' },
      { name: 'top', data: `${index}\n` },
    ]),
  );

const make = async (): Promise<Map<string, Image>> => {
  const base = layer(await baseEntries());
  const below = layer([
    { name: 'removed', data: 'gone' },
    directory('opaque'),
    { name: 'opaque/below', data: 'below' },
  ]);
  const above = layer([
    { name: '.wh.removed' },
    directory('opaque'),
    { name: 'opaque/.wh..wh..opq' },
    { name: 'opaque/above', data: 'above' },
    { name: 'added', data: 'added' },
  ]);
  const shell = (settings: ImageSettings): Image => image([base], { Env: env, Cmd: ['sh'], ...settings });
  const trap: TarEntry[] = [directory('trap'), { name: 'trap/untouched' }];
  const linked = (name: string): Image =>
    image([base, layer([...trap, { name, type: 'symlink', link: '/trap' }])], { Env: env, Cmd: ['sh'] });
  const masked = layer([
    { name: 'target', data: 'secret\n' },
    { name: 'masked-link', type: 'symlink', link: 'target' },
  ]);
  return new Map<string, Image>([
    [names.busybox, shell({})],
    [names.busyboxToo, shell({})],
    [names.layered, image([base, below, above], { Env: env, Cmd: ['sh'] })],
    [names.deep, image([base, ...manyLayers(89)], { Env: env, Cmd: ['sh'] })],
    [names.userUid, shell({ User: '1000' })],
    [names.userName, shell({ User: 'www-data' })],
    [names.userUidGid, shell({ User: '1003:1004' })],
    [names.userNameGroup, shell({ User: 'tester:members' })],
    [names.userUnknown, shell({ User: 'nobody-has-this-name' })],
    [names.userTooLarge, shell({ User: '4294967296' })],
    [names.groups, shell({ User: 'tester' })],
    [names.stopSignal, shell({ StopSignal: 'SIGUSR1' })],
    [
      names.entrypoint,
      shell({
        Entrypoint: ['sh', '-c'],
        Cmd: ['echo from the image'],
        Env: [...env, 'COLOUR=green'],
        WorkingDir: '/work',
      }),
    ],
    [names.volume, shell({ Volumes: { '/data': {} } })],
    [names.labels, shell({ Labels: { 'io.kubernetes.pod.name': 'other', maker: 'berth' } })],
    [names.linkedProc, linked('proc')],
    [names.linkedDev, linked('dev')],
    [names.maskedLink, image([base, masked], { Env: env, Cmd: ['sh'] })],
    [names.empty, image([base], { Env: env })],
  ]);
};

const cacheKey = async (): Promise<string> => {
  const hash = createHash('sha256');
  const sources = join(sourceTree, 'critest/harness');
  const files = (await readdir(join(sources, 'programs'))).sort().map((name) => `programs/${name}`);
  // What runs, not its source: the two differ while somebody edits.
  for (const name of ['image.js', 'images.js', 'tar.js']) hash.update(await readFile(join(import.meta.dirname, name)));
  for (const name of files) hash.update(await readFile(join(sources, name)));
  return hash
    .update(await readFile('/bin/busybox'))
    .digest('hex')
    .slice(0, 16);
};

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/**
 * The directory of the test images: `layout/` (OCI), `registry/` (docker-registry's) and their static `busybox`. Made once,
 * outside the tree: $XDG_CACHE_HOME or /var/cache. BERTH_TEST_IMAGES names one that is there already (the second machine
 * has no compiler, and a busybox that needs libraries).
 */
export const testImages = async (): Promise<string> => {
  const { BERTH_TEST_IMAGES: ready, XDG_CACHE_HOME: home = '/var/cache' } = process.env;
  if (ready !== undefined) return ready;
  const cache = join(home, 'berth-test');
  const target = join(cache, `images-${await cacheKey()}`);
  if (await exists(target)) return target;
  await mkdir(cache, { recursive: true });
  const making = await mkdtemp(join(cache, 'making-'));
  const images = await make();
  await writeLayout(join(making, 'layout'), images);
  await writeRegistry(join(making, 'registry'), images);
  await copyFile('/bin/busybox', join(making, 'busybox'));
  await rename(making, target).catch(() => rm(making, { recursive: true })); // another test run was quicker
  return target;
};

/** A shell that runs anywhere: what /bin/busybox of the images is. */
export const staticShell = async (): Promise<string> => join(await testImages(), 'busybox');
