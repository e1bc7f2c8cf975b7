import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestParts, parseDigest } from '../base/digest.ts';
import { BerthError, invalid, notFound, within } from '../base/errors.ts';
import { readLimited } from '../base/files.ts';
import { checkBytes, digestOf } from './blobs/verify.ts';
import { documentLimit, parseObject, textField } from './json.ts';
import type { Descriptor, ImageIndex } from './manifest.ts';
import { parseManifest } from './manifest.ts';
import type { Document, Source } from './source.ts';

/** An OCI image layout directory (image spec, image-layout.md) as a source of images. */
export class Layout implements Source {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(directory: string): Promise<Layout> {
    const layout = new Layout(directory);
    const marker = parseObject(await layout.#file('oci-layout'), `${directory}/oci-layout`);
    const version = textField(marker, 'imageLayoutVersion', `${directory}/oci-layout`);
    if (!version.startsWith('1.'))
      throw new BerthError('unimplemented', `${directory}: image layout of version ${version}`);
    return layout;
  }

  async #file(name: string): Promise<Buffer> {
    const bytes = await readLimited(join(this.#directory, name), documentLimit);
    if (bytes === undefined) throw notFound(`${this.#directory} is not an OCI image layout: it has no ${name}`);
    return bytes;
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

  async *blob({ digest }: Descriptor): AsyncGenerator<Buffer> {
    const path = join(this.#directory, blobName(digest));
    try {
      await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      if (!(await file.stat()).isFile()) throw invalid('not a regular file');
      yield* file.createReadStream({ highWaterMark: 1 << 18, autoClose: false }) as AsyncIterable<Buffer>;
    } catch (error) {
      throw within(`read ${path}`, error);
    }
  }
}

const blobName = (digest: Digest): string => {
  const { algorithm, hex } = digestParts(digest);
  return join('blobs', algorithm, hex);
};
