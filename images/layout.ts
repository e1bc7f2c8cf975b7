import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestParts, isDigest, parseDigest } from '../base/digest.ts';
import { BerthError, errnoOf, invalid, notFound, orMissing, within } from '../base/errors.ts';
import { namesIn } from '../base/files.ts';
import { checkBytes, digestOf } from './blobs/verify.ts';
import { documentLimit, parseObject, textField } from './json.ts';
import type { Descriptor, ImageIndex } from './manifest.ts';
import { parseManifest } from './manifest.ts';
import type { Document, Source } from './source.ts';

/** The bytes of `oci-layout`; undefined when there is none. */
export const checkLayout = (marker: Buffer | undefined, what: string): void => {
  if (marker === undefined) throw notFound(`${what} is not an OCI image layout: it has no oci-layout`);
  const version = textField(parseObject(marker, `${what}/oci-layout`), 'imageLayoutVersion', `${what}/oci-layout`);
  if (!version.startsWith('1.')) throw new BerthError('unimplemented', `${what}: image layout of version ${version}`);
};

/** An OCI image layout directory (image spec, image-layout.md) as a source of images. */
export class Layout implements Source {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(directory: string): Promise<Layout> {
    const layout = new Layout(directory);
    checkLayout(await layout.#file('oci-layout'), directory);
    return layout;
  }

  /** Its size is checked before it is read (CVE-2023-25153), and holds when the file grows meanwhile. */
  async #file(name: string): Promise<Buffer> {
    const path = join(this.#directory, name);
    await using file = await openRegular(path);
    if (file === undefined) throw notFound(`${this.#directory} is not an OCI image layout: it has no ${name}`);
    const { size } = await file.stat();
    if (size > documentLimit)
      throw new BerthError('resource-exhausted', `read ${path}: ${size} bytes, the limit is ${documentLimit}`);
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await file.read(bytes, 0, size);
    return bytes.subarray(0, bytesRead);
  }

  /** index.json and what it lists. */
  async index(): Promise<{ readonly document: Document; readonly index: ImageIndex }> {
    const bytes = await this.#file('index.json');
    const parsed = parseManifest(bytes, '', `${this.#directory}/index.json`);
    if (parsed.kind !== 'index') throw invalid(`${this.#directory}/index.json: not an image index`);
    return { document: { bytes, mediaType: '', digest: digestOf(bytes) }, index: parsed };
  }

  async manifest(text: string): Promise<Document> {
    const digest = parseDigest(text);
    const bytes = await this.#file(blobName(digest));
    checkBytes(bytes, digest, `manifest ${digest}`);
    return { bytes, mediaType: '', digest };
  }

  /** Throws not-found when the layout does not have the blob. */
  async check({ digest }: Descriptor): Promise<void> {
    await using file = await openRegular(join(this.#directory, blobName(digest)));
    if (file === undefined) throw notFound(`${this.#directory}: it has no ${blobName(digest)}`);
  }

  async *blobs(): AsyncGenerator<{ readonly digest: Digest; readonly size: number }> {
    for (const algorithm of ['sha256', 'sha512'])
      for (const hex of await namesIn(join(this.#directory, 'blobs', algorithm))) {
        const digest = `${algorithm}:${hex}`;
        const info = isDigest(digest) ? await orMissing(lstat(join(this.#directory, blobName(digest)))) : undefined;
        if (isDigest(digest) && info?.isFile() === true) yield { digest, size: info.size };
      }
  }

  async *blob({ digest }: Descriptor): AsyncGenerator<Buffer> {
    const path = join(this.#directory, blobName(digest));
    await using file = await openRegular(path);
    if (file === undefined) throw notFound(`${this.#directory}: it has no ${blobName(digest)}`);
    try {
      yield* file.createReadStream({ highWaterMark: 1 << 18, autoClose: false }) as AsyncIterable<Buffer>;
    } catch (error) {
      throw within(`read ${path}`, error);
    }
  }
}

/** Undefined when it is not there. Throws invalid-argument for links and what is no file: they lead out, or never end. */
const openRegular = async (path: string): Promise<FileHandle | undefined> => {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    if (errnoOf(error) !== 'ELOOP') throw within(`open ${path}`, error);
  }
  throw invalid(`read ${path}: not a regular file`);
};

const blobName = (digest: Digest): string => {
  const { algorithm, hex } = digestParts(digest);
  return join('blobs', algorithm, hex);
};
