import { invalid } from '../../base/errors.ts';
import { type JsonObject, parseObjects, textField, textsField } from '../json.ts';
import { type Descriptor, parseManifest } from '../manifest.ts';
import type { NamedEntry } from './contents.ts';
import type { Spool, Spooled } from './spool.ts';

/** An image in the manifest.json of `docker save`. */
interface DockerItem {
  readonly config: string;
  readonly layers: readonly string[];
  readonly names: readonly string[];
}

const oci = 'application/vnd.oci.image';
const mostItems = 1000;

const readItems = (bytes: Buffer, what: string): readonly DockerItem[] => {
  const items = parseObjects(bytes, what);
  if (items.length > mostItems) throw invalid(`${what}: more than ${mostItems} images`);
  return items.map((item) => ({
    config: requiredText(item, 'Config', what),
    layers: textsField(item, 'Layers', what),
    names: textsField(item, 'RepoTags', what),
  }));
};

const requiredText = (item: JsonObject, key: string, what: string): string => {
  const text = textField(item, key, what);
  if (text === '') throw invalid(`${what}: an image without ${key}; if a Docker before 1.10 wrote it, save it anew`);
  return text;
};

/**
 * The images with OCI manifests made for them, since such an archive has none. The same archive gives the same digests. An image
 * that is here already keeps the manifest that it came with: what was pulled can still be pushed as it was.
 */
export const dockerEntries = async (spool: Spool, manifest: Buffer): Promise<readonly NamedEntry[]> => {
  const entries: NamedEntry[] = [];
  for (const item of readItems(manifest, `${spool.what}: manifest.json`)) {
    const made = Buffer.from(JSON.stringify(manifestOf(spool, item)));
    const bytes = (await spool.manifestOf(spool.file(item.config).digest)) ?? made;
    const digest = await spool.put(bytes);
    const descriptor = { mediaType: `${oci}.manifest.v1+json`, digest, size: bytes.length, annotations: {} };
    entries.push({ descriptor, names: item.names });
  }
  return entries;
};

const manifestOf = (spool: Spool, { config, layers }: DockerItem): object => ({
  schemaVersion: 2,
  mediaType: `${oci}.manifest.v1+json`,
  config: descriptorOf(`${oci}.config.v1+json`, spool.file(config)),
  layers: layers.map((path) => {
    const file = spool.file(path);
    return descriptorOf(`${oci}.layer.v1.tar${compressionOf(file)}`, file);
  }),
});

const descriptorOf = (mediaType: string, { digest, size }: Spooled): object => ({ mediaType, digest, size });

const compressionOf = ({ head }: Spooled): string => {
  if (head.length >= 2 && head.readUInt16BE(0) === 0x1f8b) return '+gzip';
  return head.length >= 4 && head.readUInt32BE(0) === 0x28b52ffd ? '+zstd' : '';
};

/** Names that only the manifest.json of an archive has which is a layout as well: found by the configuration's digest. */
export const dockerNames = (
  spool: Spool,
  manifest: Buffer,
  entries: readonly NamedEntry[],
): Promise<readonly NamedEntry[]> => {
  const items = readItems(manifest, `${spool.what}: manifest.json`);
  return Promise.all(
    entries.map(async ({ descriptor, names }) => {
      const config = names.length > 0 ? undefined : await configOf(spool, descriptor);
      const more = items.filter((item) => config !== undefined && spool.file(item.config).digest === config);
      return { descriptor, names: [...names, ...more.flatMap((item) => item.names)] };
    }),
  );
};

const configOf = async (spool: Spool, { digest, mediaType }: Descriptor): Promise<string | undefined> => {
  const { bytes } = await spool.manifest(digest);
  const parsed = parseManifest(bytes, mediaType, `manifest ${digest}`);
  return parsed.kind === 'manifest' ? parsed.config.digest : undefined;
};
