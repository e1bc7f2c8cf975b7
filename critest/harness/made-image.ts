import { readFile, writeFile } from 'node:fs/promises';
import type { TestDaemon } from './daemon.ts';
import { type ImageSettings, image, type Layer, layer, writeLayout } from './image.ts';
import { registryHost, staticShell } from './images.ts';
import type { TarEntry } from './tar.ts';

export const link = (name: string, target: string): TarEntry => ({ name, type: 'symlink', link: target });

/** Images made by `importEntries` stay: `suiteDaemon({ ignore: madeImages })`. */
export const madeImages = /files: . \.\/root\/images/;

/** The same in all of them, so it is unpacked once. */
let shell: Layer | undefined;

/** Imports an image of these entries and a shell (/bin/sh is busybox), and gives its reference. `annotations`: the index's. */
export const importEntries = async (
  daemon: TestDaemon,
  name: string,
  entries: readonly TarEntry[],
  settings: ImageSettings = {},
  annotations: Readonly<Record<string, string>> = {},
): Promise<string> => {
  const path = daemon.world.path(`logs-layout-${name}`);
  const reference = `${registryHost}/hostile/${name}:1`;
  shell ??= layer([
    { name: 'bin/', type: 'directory' },
    { name: 'bin/sh', mode: 0o755, data: await readFile(await staticShell()) },
  ]);
  await writeLayout(path, new Map([[reference, image([shell, layer(entries)], settings)]]));
  const index = JSON.parse(await readFile(`${path}/index.json`, 'utf8'));
  for (const manifest of index.manifests) Object.assign(manifest.annotations, annotations);
  await writeFile(`${path}/index.json`, JSON.stringify(index));
  await daemon.client.Import({ path, name: reference });
  return reference;
};
