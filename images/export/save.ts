import { posix } from 'node:path';
import { BerthError, invalid, within } from '../../base/errors.ts';
import { tarEnd, tarFill, tarHeader } from '../archive/tar-writer.ts';
import type { BlobStore } from '../blobs/store.ts';
import { verified } from '../blobs/verify.ts';
import { holdKey } from '../holds.ts';
import { parseConfig } from '../image-config.ts';
import type { ImageStore } from '../store.ts';
import type { Platform } from '../types.ts';
import { closureOf } from './closure.ts';
import { type ArchiveFile, dockerFiles, type Exported, layoutFiles } from './listing.ts';
import { type Picked, pickImage } from './pick.ts';

export interface SaveJob {
  /** Names, ids, starts of ids. */
  readonly images: readonly string[];
  readonly format: 'oci' | 'docker';
  readonly keepBlobs: boolean;
  readonly signal: AbortSignal;
}

/**
 * A tar archive of images: the same images give the same bytes. Layers are as they were pulled; each blob is checked against its
 * digest on the way out. Errors: not-found, failed-precondition when blobs are not kept, data-loss.
 */
export async function* saveImages(store: ImageStore, job: SaveJob): AsyncGenerator<Buffer> {
  const picked = pickAll(store, job.images);
  using holds = new DisposableStack();
  for (const { image } of picked) holds.use(store.holds.take(holdKey('image', image.id)));
  const images: Exported[] = [];
  for (const { image, target, names } of picked) {
    const closure = await closureOf(store, image, target, job.keepBlobs);
    if (closure.manifest.artifactType !== undefined && job.format === 'docker')
      throw new BerthError('unimplemented', `image ${image.id}: an artifact has no place in a docker archive`);
    for (const { digest } of [...closure.documents, ...closure.blobs])
      holds.use(store.holds.take(holdKey('blob', digest)));
    images.push({ closure, id: image.id, platform: await platformOf(store, closure.manifest.config.digest), names });
  }
  yield* archiveOf(store.blobs, job.format === 'oci' ? layoutFiles(images) : dockerFiles(images), job.signal);
}

/** An image that is asked for twice is there once, with all names that were given. */
const pickAll = (store: ImageStore, texts: readonly string[]): readonly Picked[] => {
  if (texts.length === 0) throw invalid('save: no image is given');
  const picked = new Map<string, Picked>();
  for (const text of texts) {
    const one = pickImage(store, text);
    const key = `${one.image.id} ${one.target}`;
    const names = new Set([...(picked.get(key)?.names ?? []), ...one.names]);
    picked.set(key, { ...one, names: [...names] });
  }
  return [...picked.values()];
};

const platformOf = async (
  { blobs }: ImageStore,
  config: Parameters<BlobStore['look']>[0],
): Promise<Platform | undefined> => {
  const bytes = await blobs.look(config);
  try {
    const { platform } = parseConfig(bytes ?? Buffer.alloc(0), `image config ${config}`);
    return platform.architecture === '' ? undefined : platform;
  } catch {
    // That of an artifact says nothing.
    return undefined;
  }
};

async function* archiveOf(
  blobs: BlobStore,
  files: readonly ArchiveFile[],
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const made = new Set<string>();
  for (const file of files) {
    for (const directory of directoriesOf(file.path).filter((path) => !made.has(path))) {
      made.add(directory);
      yield tarHeader({ path: directory });
    }
    const size = 'bytes' in file ? file.bytes.length : file.blob.size;
    yield tarHeader({ path: file.path, size });
    yield* 'bytes' in file ? [file.bytes] : blobBytes(blobs, file.blob, signal);
    if (size % 512 > 0) yield tarFill(size);
  }
  yield tarEnd;
}

async function* blobBytes(
  blobs: BlobStore,
  blob: { readonly digest: Parameters<BlobStore['stream']>[0]; readonly size: number },
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const what = `blob ${blob.digest}`;
  try {
    for await (const chunk of verified(blobs.stream(blob.digest), blob, what)) {
      signal.throwIfAborted();
      yield chunk;
    }
  } catch (error) {
    throw error instanceof BerthError ? error : within(`read ${what}`, error);
  }
}

/** `a/b/c`: `a`, `a/b`. */
const directoriesOf = (path: string): readonly string[] => {
  const parent = posix.dirname(path);
  return parent === '.' ? [] : [...directoriesOf(parent), parent];
};
