import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { sha256 } from '../../base/digest.ts';
import type { TestDaemon } from './daemon.ts';
import { names } from './images.ts';
import { startRegistry } from './registry.ts';
import { suiteDaemon } from './suite.ts';
import { sourceTree } from './tree.ts';
import type { Output } from './world.ts';

// A daemon, three registries of Debian's, and the tools that read our archives and pushes, and we theirs.
export const pushHost = '127.0.0.1:5001';
export const lockedHost = '127.0.0.1:5002';
export const work = (...parts: readonly string[]): string => daemon().world.path('work', ...parts);
export const storage = (): string => `--root ${work('storage')} --runroot ${work('run')} --storage-driver vfs`;
export const buildah = (words: string): Promise<string> =>
  sh(`buildah ${storage()} --registries-conf ${work('registries.conf')} ${words}`);

export const daemon = suiteDaemon({
  images: [],
  ignore: /files: . \.\/(work|registry-)/,
  setUp: async ({ world, client }) => {
    await startRegistry(world);
    await startRegistry(world, { address: pushHost, writable: true });
    await startRegistry(world, { address: lockedHost, writable: true, password: true });
    await world.sh(`mkdir -p ${world.path('work')}`);
    await writeFile(world.path('work/policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
    await writeFile(world.path('work/registries.conf'), 'unqualified-search-registries = []\n');
    for (const image of [names.busybox, names.layered]) await client.PullImage({ image: { image } });
  },
  tidy: (running) => running.world.sh(`rm -rf ${running.world.path('work/t')}`).then(() => undefined),
});

export const sh = (script: string): Promise<string> =>
  daemon().world.sh(
    `set -e; export HOME=${work()} XDG_RUNTIME_DIR=${work()} TMPDIR=${work()}; mkdir -p ${work('t')}; cd ${work('t')}; ${script}`,
  );
export const berth = async (...args: readonly string[]): Promise<Output> => {
  const command = join(sourceTree, 'bin/berth');
  return daemon().world.run(command, ['--address', daemon().address, ...args]);
};
test.beforeEach('a place for files', () => sh('true'));
export const at = (path: string): string => work('t', path);
export const bytesAt = (path: string): Promise<Buffer> => readFile(at(path));

interface Known {
  readonly id: string;
  /** Of the manifest. */
  readonly digest: string;
  /** Configuration and layers. */
  readonly blobs: readonly string[];
}

/** What the daemon has under a name. */
export const known = async ({ client }: TestDaemon, image: string): Promise<Known> => {
  const { image_id: id, manifest } = await client.Inspect({ image });
  const parsed = JSON.parse(Buffer.from(manifest).toString()) as Record<'layers', { digest: string }[]>;
  const layers = parsed.layers.map(({ digest }) => digest);
  return { id, digest: sha256(manifest), blobs: [id, ...layers].toSorted() };
};

/** The digests of what `skopeo copy … dir:` has made: of the manifest, and of all else, each found by reading. */
export const digestsIn = async (directory: string): Promise<Pick<Known, 'digest' | 'blobs'>> => {
  const lines = (await sh(`cd ${directory}; sha256sum *`)).trim().split('\n');
  const sums = new Map(lines.map((line) => [line.slice(66), `sha256:${line.slice(0, 64)}`]));
  const others = [...sums].filter(([name]) => !['manifest.json', 'version'].includes(name));
  return { digest: sums.get('manifest.json') ?? '', blobs: others.map(([, digest]) => digest).toSorted() };
};

export const skopeoCopy = (from: string, to: string, options = ''): Promise<string> =>
  sh(`skopeo --insecure-policy copy -q ${options} ${from} ${to}`);

export const pick = ({ digest, blobs }: Known): Pick<Known, 'digest' | 'blobs'> => ({ digest, blobs });

/** `berth rmi NAME` without the command's start. */
export const untag = (image: string): Promise<unknown> => daemon().client.Untag({ image });
