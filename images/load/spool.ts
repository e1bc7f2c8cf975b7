import { posix } from 'node:path';
import { type Digest, isDigest, sha256 } from '../../base/digest.ts';
import { BerthError, invalid, notFound } from '../../base/errors.ts';
import { shown, type TarEntry } from '../archive/tar-reader.ts';
import { holdKey } from '../holds.ts';
import { documentLimit } from '../json.ts';
import type { Descriptor } from '../manifest.ts';
import type { Document } from '../source.ts';
import type { ImageStore } from '../store.ts';
import type { LocalSource } from './contents.ts';
import { Reading } from './reading.ts';

/** A file of an archive, as a blob of the store. */
export interface Spooled {
  readonly digest: Digest;
  readonly size: number;
  /** The first bytes: they tell how a layer is compressed. */
  readonly head: Buffer;
}

/** What tells what is in an archive; kept in memory. */
const documents: readonly string[] = ['oci-layout', 'index.json', 'manifest.json'];
/** Of the archives of Docker 1.9 and before, which nobody reads any more but which are still written. */
const isOutdated = (path: string): boolean => path === 'repositories' || /^[0-9a-f]{64}\/(?:VERSION|json)$/.test(path);
const mostLinks = 8;

/**
 * What came out of an archive, whose entries have any order: its files are in the store by their digests, and are held there
 * until this is disposed. What is named after a digest and has another content is refused.
 */
export class Spool implements LocalSource, Disposable {
  readonly what: string;
  readonly #store: ImageStore;
  readonly #largest: number;
  readonly #holds = new DisposableStack();
  readonly #documents = new Map<string, Buffer>();
  readonly #files = new Map<string, Spooled>();
  readonly #links = new Map<string, string>();

  /** `largest`: so many bytes may a file of the archive have. `what` begins the errors. */
  constructor(store: ImageStore, largest: number, what: string) {
    this.#store = store;
    this.#largest = largest;
    this.what = what;
  }

  async add(entry: TarEntry): Promise<void> {
    const { path, type } = entry;
    if (type === 'directory' || (type === 'file' && isOutdated(path))) return;
    if (type === 'symlink') this.#link(path, posix.join(posix.dirname(path), entry.link), entry.link);
    else if (type === 'hardlink') this.#link(path, posix.normalize(entry.link), entry.link);
    else if (documents.includes(path)) await this.#addDocument(entry);
    else await this.#addFile(entry);
  }

  #link(path: string, target: string, text: string): void {
    if (text.startsWith('/') || target === '..' || target.startsWith('../'))
      throw invalid(`${this.what}: the link ${shown(path)} leads out of it, to ${shown(text)}`);
    if (this.#files.has(path) || (this.#links.get(path) ?? target) !== target) throw this.#twice(path);
    this.#links.set(path, target);
  }

  async #addDocument({ path, size, body }: TarEntry): Promise<void> {
    if (size > documentLimit)
      throw new BerthError('resource-exhausted', `${this.what}: ${path}: ${size} bytes, the limit is ${documentLimit}`);
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (this.#documents.get(path)?.equals(bytes) === false) throw this.#twice(path);
    this.#documents.set(path, bytes);
  }

  async #addFile(entry: TarEntry): Promise<void> {
    const { path, size } = entry;
    if (size > this.#largest)
      throw new BerthError(
        'resource-exhausted',
        `${this.what}: ${shown(path)}: ${size} bytes, at most ${this.#largest}`,
      );
    const named = digestNamed(path);
    const isThere = named !== undefined && this.#store.blobs.has(named);
    const file = await (isThere ? this.#check(entry, named) : this.#write(entry, named));
    const other = this.#files.get(path);
    if (this.#links.has(path) || (other !== undefined && other.digest !== file.digest)) throw this.#twice(path);
    this.#files.set(path, file);
  }

  /** Of what is in the store already only the digest is looked at. */
  async #check({ path, size, body }: TarEntry, named: Digest): Promise<Spooled> {
    this.#hold(named);
    const reading = new Reading(named);
    for await (const chunk of body) reading.take(chunk);
    return { digest: reading.end(`${this.what}: ${path}`), size, head: reading.head };
  }

  async #write({ path, size, body }: TarEntry, named: Digest | undefined): Promise<Spooled> {
    const { blobs } = this.#store;
    const reading = new Reading(named);
    await using writer = await blobs.writer();
    for await (const chunk of body) {
      reading.take(chunk);
      await writer.write(chunk);
    }
    const digest = reading.end(`${this.what}: ${path}`);
    this.#hold(digest);
    if (!blobs.has(digest)) await blobs.add(digest, size, writer);
    return { digest, size, head: reading.head };
  }

  #hold(digest: Digest): void {
    this.#holds.use(this.#store.holds.take(holdKey('blob', digest)));
  }

  #twice(path: string): BerthError {
    return invalid(`${this.what}: it has two different ${shown(path)}`);
  }

  /** One of the documents that tell what is in the archive. */
  document(path: string): Buffer | undefined {
    return this.#documents.get(path);
  }

  /** A file by its path, links followed inside the archive. */
  file(path: string): Spooled {
    let at = posix.normalize(path);
    for (let hops = 0; hops < mostLinks && this.#links.has(at); hops += 1) at = this.#links.get(at) ?? at;
    const file = this.#files.get(at);
    if (file === undefined) throw invalid(`${this.what}: it has no ${shown(path)}; is it whole?`);
    return file;
  }

  /** The digests of all files. */
  get digests(): readonly Digest[] {
    return [...this.#files.values()].map(({ digest }) => digest);
  }

  /** The manifest of an image that is in the store with all of its layers as they were pulled. */
  async manifestOf(id: Digest): Promise<Buffer | undefined> {
    const { blobs, catalog, holds } = this.#store;
    const image = catalog.image(id);
    if (image?.layers.every(({ digest }) => blobs.has(digest)) !== true) return undefined;
    for (const { digest } of image.layers) this.#hold(digest);
    this.#holds.use(holds.take(holdKey('image', id)));
    return blobs.read(image.manifest);
  }

  /** Keeps a manifest that the archive does not have itself. */
  async put(bytes: Buffer): Promise<Digest> {
    const digest = sha256(bytes);
    this.#hold(digest);
    await this.#store.blobs.put(digest, bytes);
    return digest;
  }

  async manifest(digest: string): Promise<Document> {
    const bytes = isDigest(digest) ? await this.#store.blobs.read(digest) : undefined;
    if (bytes === undefined) throw notFound(`${this.what}: it has no manifest ${digest}; is it whole?`);
    return { bytes, mediaType: '', digest: digest as Digest };
  }

  async check({ digest }: Descriptor): Promise<void> {
    if (!this.#store.blobs.has(digest)) throw notFound(`${this.what}: it has no blob ${digest}; is it whole?`);
  }

  async *blobs(): AsyncGenerator<Spooled> {
    yield* this.#files.values();
  }

  async *blob(descriptor: Descriptor): AsyncGenerator<Buffer> {
    await this.check(descriptor);
    const { digest } = descriptor;
    yield* this.#store.blobs.stream(digest);
  }

  [Symbol.dispose](): void {
    this.#holds.dispose();
  }
}

/** Of `blobs/sha256/…`, as the image spec has it. */
const digestNamed = (path: string): Digest | undefined => {
  const [, algorithm = '', hex = ''] = /^blobs\/([a-z0-9]+)\/([^/]+)$/.exec(path) ?? [];
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) ? digest : undefined;
};
