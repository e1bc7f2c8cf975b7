import { type Digest, digestParts, isDigest, sha256 } from '../../base/digest.ts';
import { isTemporary } from '../../base/files.ts';
import { KeyedLocks } from '../../base/locks.ts';
import type { Paths } from '../paths.ts';
import type { Pinning } from '../pinned.ts';
import { formatReference, parseReference } from '../reference.ts';
import type { ImageRecord, Log } from '../types.ts';
import { RecordFiles } from './files.ts';
import {
  readImage,
  readLease,
  readName,
  type StoredImage,
  type StoredLease,
  type StoredName,
  serialise,
} from './stored.ts';
import { viewOf } from './view.ts';

/** The shortest start of an id that is looked up; shorter ones are rather names. */
const shortestPrefix = 6;

/** A record that is on disk otherwise than in memory. */
export interface WrongFile {
  readonly kind: 'image' | 'name' | 'lease';
  readonly subject: string;
  readonly problem: string;
  readonly write: () => Promise<void>;
}

/** Images, names and leases: on disk one file an object, all of them in memory. Reads never wait for anything. */
export class Catalog {
  readonly #images = new Map<Digest, StoredImage>();
  readonly #names = new Map<string, StoredName>();
  readonly #leases = new Map<string, StoredLease>();
  readonly #imageFiles: RecordFiles<StoredImage>;
  readonly #nameFiles: RecordFiles<StoredName>;
  readonly #leaseFiles: RecordFiles<StoredLease>;
  readonly #naming = new KeyedLocks();
  #isPinned: Pinning;
  #views: ReadonlyMap<Digest, ImageRecord> | undefined;

  private constructor(paths: Paths, isPinned: Pinning) {
    this.#isPinned = isPinned;
    this.#imageFiles = new RecordFiles(paths.images, readImage, ({ id }) => digestParts(id).hex);
    this.#nameFiles = new RecordFiles(paths.names, readName, ({ name }) => keyOf(name));
    this.#leaseFiles = new RecordFiles(paths.leases, readLease, ({ container }) => container);
  }

  static async open(paths: Paths, isPinned: Pinning, log: Log): Promise<Catalog> {
    const catalog = new Catalog(paths, isPinned);
    const files = [catalog.#imageFiles, catalog.#nameFiles, catalog.#leaseFiles];
    await Promise.all(files.map((each) => each.clean(isTemporary)));
    const [images, names, leases] = await Promise.all([
      catalog.#imageFiles.load(log),
      catalog.#nameFiles.load(log),
      catalog.#leaseFiles.load(log),
    ]);
    for (const image of images) catalog.#images.set(image.id, image);
    for (const name of names) catalog.#names.set(name.name, name);
    for (const lease of leases) catalog.#leases.set(lease.container, lease);
    return catalog;
  }

  /** Whether there are records that only a later berthd reads: nobody knows what they need. */
  get hasLater(): boolean {
    return [this.#imageFiles, this.#nameFiles, this.#leaseFiles].some(({ later }) => later > 0);
  }

  /** From here on these are the pinned ones. */
  pin(isPinned: Pinning): void {
    this.#isPinned = isPinned;
    this.#views = undefined;
  }

  /** Every image that has a name. */
  list(): readonly ImageRecord[] {
    return [...this.#view().values()];
  }

  /** By name, name and digest, id, or the start of an id (6 hex characters or more) that only one image has. */
  resolve(text: string): ImageRecord | undefined {
    const hex = /^(?:sha256:)?([0-9a-f]{6,64})$/.exec(text)?.[1];
    if (hex?.length === 64) return this.#view().get(`sha256:${hex}` as Digest);
    return this.#byName(text) ?? (hex === undefined ? undefined : this.#byPrefix(hex));
  }

  #byName(text: string): ImageRecord | undefined {
    try {
      const name = this.#names.get(formatReference(parseReference(text)));
      return name === undefined ? undefined : this.#view().get(name.image);
    } catch {
      return undefined;
    }
  }

  #byPrefix(hex: string): ImageRecord | undefined {
    if (hex.length < shortestPrefix) return undefined;
    const found = this.list().filter(({ id }) => id.startsWith(`sha256:${hex}`));
    return found.length === 1 ? found[0] : undefined;
  }

  #view(): ReadonlyMap<Digest, ImageRecord> {
    this.#views ??= viewOf(this.#images, this.#names.values(), this.#isPinned);
    return this.#views;
  }

  /** What a reference stands for; undefined when nothing has that name. Throws invalid-argument for what is no reference. */
  name(text: string): StoredName | undefined {
    return this.#names.get(formatReference(parseReference(text)));
  }

  /** Also images without a name that a container still uses. */
  image(id: string): StoredImage | undefined {
    return isDigest(id) ? this.#images.get(id) : undefined;
  }

  images(): readonly StoredImage[] {
    return [...this.#images.values()];
  }

  names(): readonly StoredName[] {
    return [...this.#names.values()];
  }

  leases(): readonly StoredLease[] {
    return [...this.#leases.values()];
  }

  /** What the files of the names are called. */
  nameFiles(): readonly string[] {
    return this.names().map(({ name }) => `${keyOf(name)}.json`);
  }

  /** When it got its newest name, in ms since 1970; 0 where it has none. */
  async namedAt(image: Digest): Promise<number> {
    const names = this.names().filter((name) => name.image === image);
    return Math.max(0, ...(await Promise.all(names.map(({ name }) => this.#nameFiles.changedAt(keyOf(name))))));
  }

  addImage(image: StoredImage): Promise<void> {
    return this.#write(this.#imageFiles, this.#images, {
      file: digestParts(image.id).hex,
      key: image.id,
      value: image,
    });
  }

  /** `by`: whose policy has let it in; those who did before still do while it stands for the same. */
  addName(name: Omit<StoredName, 'letIn'>, by = ''): Promise<void> {
    return this.#naming.run(name.name, () => {
      const before = this.#names.get(name.name);
      const others = before?.target === name.target && before.image === name.image ? (before.letIn ?? ['']) : [];
      const letIn = [...new Set([...others, by])].toSorted();
      const value: StoredName = { ...name, ...(letIn.some((one) => one !== '') && { letIn }) };
      return this.#write(this.#nameFiles, this.#names, { file: keyOf(name.name), key: name.name, value });
    });
  }

  /** A repeated pull changes nothing and so writes nothing. */
  #write<K, V extends StoredImage | StoredName | StoredLease>(
    files: RecordFiles<V>,
    memory: Map<K, V>,
    { file, key, value }: { readonly file: string; readonly key: K; readonly value: V },
    durable = true,
  ): Promise<void> {
    const text = serialise(value);
    const isThere = (): boolean => {
      const known = memory.get(key);
      return known !== undefined && serialise(known) === text;
    };
    const done = (): void => {
      memory.set(key, value);
      this.#views = undefined;
    };
    return files.write(file, text, { isThere, done }, { durable });
  }

  /** Tags first: while a name is left, it is by digest. */
  async removeNames(image: Digest): Promise<void> {
    const names = this.names().filter((name) => name.image === image);
    for (const name of names.toSorted((a, b) => Number(a.name.includes('@')) - Number(b.name.includes('@'))))
      await this.removeName(name);
  }

  /** Takes away one name; no error when it is not there, or stands for another image by then. */
  removeName({ name, image }: Pick<StoredName, 'name' | 'image'>): Promise<void> {
    return this.#nameFiles.remove(
      keyOf(name),
      () => this.#names.get(name)?.image === image,
      () => {
        this.#names.delete(name);
        this.#views = undefined;
      },
    );
  }

  /** Not synced: no container outlives a power loss, so none would miss its lease. */
  addLease(lease: StoredLease): Promise<void> {
    const { container } = lease;
    return this.#write(this.#leaseFiles, this.#leases, { file: container, key: container, value: lease }, false);
  }

  removeLease(container: string): Promise<void> {
    return this.#leaseFiles.remove(
      container,
      () => true,
      () => this.#leases.delete(container),
    );
  }

  /** Objects whose file is not what is in memory: the next start would miss them. `write` puts it there again. */
  async wrongFiles(): Promise<readonly WrongFile[]> {
    const wrong = [
      ...this.images().map((image) => this.#wrongFile('image', this.#imageFiles, this.#images, image.id, image)),
      ...this.names().map((name) => this.#wrongFile('name', this.#nameFiles, this.#names, name.name, name)),
      ...this.leases().map((lease) => this.#wrongFile('lease', this.#leaseFiles, this.#leases, lease.container, lease)),
    ];
    return (await Promise.all(wrong)).filter((one) => one !== undefined);
  }

  async #wrongFile<K extends string, V extends StoredImage | StoredName | StoredLease>(
    kind: WrongFile['kind'],
    files: RecordFiles<V>,
    memory: Map<K, V>,
    key: K,
    value: V,
  ): Promise<WrongFile | undefined> {
    const file = files.keyOf(value);
    const problem = await files.problemOf(file, () => memory.get(key));
    if (problem === undefined) return undefined;
    const isOther = (): boolean => memory.get(key) !== value;
    const changes = { isThere: isOther, done: () => undefined };
    return {
      kind,
      subject: key,
      problem,
      write: () => files.write(file, serialise(value), changes, { durable: true }),
    };
  }

  /** Forgets an image at once; its file goes when its turn comes, unless it was pulled anew. */
  removeImage(id: Digest): Promise<void> {
    this.#images.delete(id);
    this.#views = undefined;
    return this.#imageFiles.remove(
      digestParts(id).hex,
      () => !this.#images.has(id),
      () => undefined,
    );
  }
}

/** A file name of fixed length for any name. */
const keyOf = (name: string): string => digestParts(sha256(name)).hex;
