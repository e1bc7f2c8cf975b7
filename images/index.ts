import { type Digest, sha256 } from '../base/digest.ts';
import { BerthError, errnoOf, invalid, messageOf, notFound, within } from '../base/errors.ts';
import { readLimited } from '../base/files.ts';
import { type CheckEvent, type CheckJob, checkStore } from './check.ts';
import { diskOf, type ImageDisk, type ImagesDisk } from './disk.ts';
import { saveImages } from './export/save.ts';
import { cancelled, SharedFlights } from './flights.ts';
import { holdKey } from './holds.ts';
import { importImage } from './import.ts';
import { type ImageDetails, inspectImage } from './inspect.ts';
import { type JsonObject, parseObject } from './json.ts';
import { lowerPaths, rootOf } from './layers/fixups.ts';
import { Gate } from './layers/gate.ts';
import type { TreeSize } from './layers/trees.ts';
import { Limit } from './limit.ts';
import { type LoadedImage, loadImages } from './load/load.ts';
import { noMeter } from './meter.ts';
import { tagImage, type Untagged, untagImage } from './naming.ts';
import { Paths } from './paths.ts';
import { hostPlatforms, wishedPlatforms } from './platform.ts';
import { type PruneJob, prunable, prunableSize, pruneImages } from './prune.ts';
import { pullRemote } from './pull/remote.ts';
import type { PushEvent, Pushed } from './push/push.ts';
import { pushRemote, type UploadTools } from './push/remote.ts';
import type { UploadSizes } from './push/upload.ts';
import { type Copy, FileReader } from './read-file.ts';
import type { StoredImage } from './records/stored.ts';
import { formatReference, parseReference } from './reference.ts';
import { hostOf, readCredentials } from './registry/credentials.ts';
import { firstOf, type Keyring, nobody } from './registry/keyring.ts';
import { NodeKeyring } from './registry/node-keyring.ts';
import type { RetryPolicy } from './registry/temporary.ts';
import { Transport } from './registry/transport.ts';
import { toolsOf } from './settings.ts';
import { collectGarbage, openStore } from './store.ts';
import type {
  Helper,
  ImageCounts,
  ImageMounts,
  ImageRecord,
  ImageSettings,
  ImageUsage,
  Log,
  Platform,
  Progress,
  PullMeter,
  PullOptions,
  RegistryAuth,
  RegistrySettings,
} from './types.ts';
import { usageOf } from './usage.ts';
import { checkAllowed } from './verify/allowed.ts';

export type { LoadedImage } from './load/load.ts';
export { asKubeletWants, markedFailure } from './pull/failure.ts';
export type { PushEvent, Pushed } from './push/push.ts';
export { defaultRanges } from './registry/ranges.ts';
export type * from './types.ts';

export interface ImagesOptions {
  /** The daemon's root directory; images/ keeps everything in `<root>/images`. */
  readonly root: string;
  readonly helper: Helper;
  /** argv[0] of the helper's runs. */
  readonly program: string;
  /** The path of berth-decompress. */
  readonly decompressor: string;
  readonly registry: RegistrySettings;
  readonly images: ImageSettings;
  readonly log: Log;
  /** Nothing is measured without. */
  readonly meter?: PullMeter;
  /** For tests that do not want to wait. */
  readonly retries?: RetryPolicy;
  readonly uploads?: UploadSizes;
}

/** So long a caller waits for a nearly full disk to become emptier. */
const roomMs = 20_000;
const cpuinfoLimit = 16 << 20;

/** The images of this machine. Lists and look-ups are answered from memory. */
export class Images implements AsyncDisposable {
  readonly #options: ImagesOptions;
  #tools: UploadTools;
  #keyring: Keyring;
  readonly #platforms: readonly Platform[];
  readonly #files: FileReader;
  #pulls = new SharedFlights<Digest, Progress>();

  private constructor(options: ImagesOptions, tools: UploadTools, platforms: readonly Platform[]) {
    this.#options = options;
    this.#tools = tools;
    this.#keyring = keyringOf(options.registry, options);
    this.#platforms = platforms;
    this.#files = new FileReader(tools.store, options.helper, options.program);
  }

  static async open(options: ImagesOptions): Promise<Images> {
    const { root, helper, program, decompressor, images, registry, log } = options;
    const paths = new Paths(root);
    const { isPinned, ...settings } = await toolsOf(registry, images, new Transport(registry));
    const store = await openStore(paths, isPinned, options);
    const gate = await Gate.open(paths.socket);
    const cpuinfo = (await readLimited('/proc/cpuinfo', cpuinfoLimit))?.toString('latin1') ?? '';
    const limit = new Limit(images.parallelLayers);
    const layerFlights = new SharedFlights<void, Progress>();
    const tools = {
      helper,
      program,
      decompressor,
      gate,
      store,
      ...settings,
      limit,
      layerFlights,
      meter: options.meter ?? noMeter,
      retries: options.retries,
      pulls: new Limit(images.parallelPulls),
      uploads: new Limit(images.parallelLayers),
      sizes: options.uploads,
      log,
    };
    return new Images(options, tools, hostPlatforms(cpuinfo));
  }

  /**
   * Makes new settings ready; the function that this gives puts them in force at once. What is under way ends with those that it
   * began with. Throws `invalid-argument` for a policy that cannot be read, and nothing has changed then.
   */
  async prepare(registry: RegistrySettings, images: ImageSettings): Promise<() => void> {
    const { isPinned, ...settings } = await toolsOf(registry, images, this.#tools.transport.with(registry));
    const keyring = keyringOf(registry, this.#options);
    return () => {
      const { limit, uploads, pulls, store } = this.#tools;
      this.#tools = { ...this.#tools, ...settings };
      this.#keyring = keyring;
      // Nobody is to join a pull that another policy allowed.
      this.#pulls = new SharedFlights();
      for (const each of [limit, uploads]) each.resize(images.parallelLayers);
      pulls.resize(images.parallelPulls);
      store.catalog.pin(isPinned);
    };
  }

  /** Gives the image id, the digest of its config. The same pull asked for twice at once is done once. */
  async pull(text: string, auth: RegistryAuth | undefined, options: PullOptions): Promise<Digest> {
    const reference = parseReference(text);
    const own = (host: string) => readCredentials(auth, host, reference.host);
    const ownHost = hostOf(auth?.serverAddress || reference.host);
    const keyring = firstOf(own, this.#keyring);
    const name = formatReference(reference);
    const platforms = options.platform === undefined ? this.#platforms : wishedPlatforms(options.platform);
    // The credentials' digest, so that nobody gets an image by the credentials of another.
    const user = sha256(JSON.stringify([ownHost, own(ownHost)]));
    const { namespace } = options;
    const { key: by } = this.#tools.policies.of(namespace);
    const key = JSON.stringify([name, user, platforms, by]);
    const listener = options.progress ?? (() => undefined);
    const flights = this.#pulls;
    const tools = this.#tools;
    return this.#attempt(`pull image ${name}`, options.signal, () =>
      flights.join(
        key,
        options.signal,
        listener,
        (cockpit) => pullRemote(tools, { reference, name, namespace, keyring, user, platforms, ...cockpit }),
        user,
      ),
    );
  }

  /**
   * Imports the image for this machine from an OCI image layout directory. Without `name` the layout's own is taken;
   * gives the image id.
   */
  importLayout(directory: string, name: string | undefined, signal: AbortSignal): Promise<Digest> {
    const job = { directory, name, platforms: this.#platforms, signal };
    return this.#attempt(`import ${directory}`, signal, () => importImage(this.#tools, job));
  }

  /**
   * Takes in images from the bytes of an archive (an OCI image layout or what `docker save` writes; plain, gzip, zstd), or from an
   * OCI image layout directory, for this machine or `platform`. `name` is for the only image, or chooses one.
   */
  async load(
    from: AsyncIterable<Buffer> | string,
    name: string | undefined,
    options: PullOptions,
  ): Promise<readonly LoadedImage[]> {
    const { signal, platform, progress: report = () => undefined } = options;
    const platforms = platform === undefined ? this.#platforms : wishedPlatforms(platform);
    const job = { from, name, platforms, signal, report };
    const isStream = typeof from !== 'string';
    // What comes but once is not lost for what only waits to be deleted.
    if (isStream) await this.#makeRoom();
    const loaded = await this.#attempt('load images', signal, () => loadImages(this.#tools, job), !isStream);
    // What the archive had besides.
    await this.collect();
    return loaded;
  }

  /** The bytes of a tar archive of images (names, ids), whose layers are as they were pulled. */
  async *save(images: readonly string[], format: 'oci' | 'docker', signal: AbortSignal): AsyncGenerator<Buffer> {
    const { store, keepBlobs } = this.#tools;
    try {
      yield* saveImages(store, { images, format, keepBlobs, signal });
    } catch (error) {
      throw within('save images', signal.aborted ? cancelled(signal) : error);
    }
  }

  /**
   * Sends an image (a name, an id) to a registry, as `destination`, digest for digest as it was pulled. `auth` as for a pull.
   * Errors: not-found, failed-precondition when its blobs are not kept, and those of the registry.
   */
  async push(
    image: string,
    destination: string,
    auth: RegistryAuth | undefined,
    options: { readonly signal: AbortSignal; readonly report: (event: PushEvent) => void },
  ): Promise<Pushed> {
    const reference = parseReference(destination);
    const keyring = firstOf((host) => readCredentials(auth, host, reference.host), this.#keyring);
    try {
      return await pushRemote(this.#tools, { image, reference, keyring, ...options });
    } catch (error) {
      const { signal } = options;
      throw within(`push image to ${formatReference(reference)}`, signal.aborted ? cancelled(signal) : error);
    }
  }

  async #attempt<T>(action: string, signal: AbortSignal, run: () => Promise<T>, canRepeat = true): Promise<T> {
    const { remover, parts } = this.#tools.store;
    const hasGarbage = canRepeat && remover.pending().paths.length + parts.entries().length > 0;
    using _quiet = remover.pause();
    try {
      return await run().catch((error: unknown) => this.#withRoom(error, hasGarbage, run));
    } catch (error) {
      // The next pull may be of something smaller.
      if (isDiskFull(error)) await parts.clear();
      // Layers that were finished have no image now.
      await this.#reclaim();
      throw within(action, signal.aborted ? cancelled(signal) : withDiskFull(error));
    }
  }

  /** A disk that is full of what is to be deleted is not full. */
  async #withRoom<T>(error: unknown, hasGarbage: boolean, run: () => Promise<T>): Promise<T> {
    if (!hasGarbage || !isDiskFull(error)) throw error;
    await this.#tools.store.parts.clear();
    await this.collect();
    await this.#tools.store.remover.flush(AbortSignal.timeout(roomMs));
    return run();
  }

  /** What nobody needs is moved away; where the disk is nearly full it is deleted before this returns. */
  async #reclaim(): Promise<void> {
    await this.collect();
    await this.#makeRoom();
  }

  async #makeRoom(): Promise<void> {
    const { remover } = this.#tools.store;
    if (remover.pending().paths.length > 0 && (await remover.isPressed()))
      await remover.flush(AbortSignal.timeout(roomMs));
  }

  /**
   * Returns when what was removed is deleted, at the latest after 20 s. The kubelet measures the disk right after it removed images, and
   * evicts pods when less is free than it was told to keep, however much that is.
   */
  async deleted(): Promise<void> {
    await this.#tools.store.remover.settled(AbortSignal.timeout(roomMs));
  }

  /** By name, name and digest, id or the unique start of an id; undefined when there is none. Never waits. */
  resolve(refOrId: string): ImageRecord | undefined {
    return this.#tools.store.catalog.resolve(refOrId);
  }

  list(): readonly ImageRecord[] {
    return this.#tools.store.catalog.list();
  }

  /**
   * Throws permission-denied when the policy of a pod's namespace has not let the image in, which may have come by another's.
   * `asked`: its name in the pod, or "".
   */
  checkAllowed(image: ImageRecord, namespace: string, asked: string): void {
    const { policies, store } = this.#tools;
    checkAllowed(policies, store.catalog, image, namespace, asked);
  }

  /** How many there are that a container uses, that none uses, and that have no name and stay for a container alone. */
  counts(): ImageCounts {
    const { catalog } = this.#tools.store;
    const leased = new Set(catalog.leases().flatMap(({ image, volumes }) => [image, ...volumes]));
    const named = new Set(catalog.names().map(({ image }) => image));
    const used = [...named].filter((id) => leased.has(id)).length;
    return { used, unused: named.size - used, unnamed: catalog.images().length - named.size };
  }

  /** Removes all names of the image; what no container needs any more goes with them. No error when it is not there. */
  async remove(refOrId: string): Promise<void> {
    const image = this.resolve(refOrId);
    if (image === undefined) return;
    await told(`remove image ${image.id}`, () => this.#tools.store.catalog.removeNames(image.id));
    await this.#reclaim();
  }

  /**
   * Gives the image that `source` means (a name, an id, the start of an id) the name `target` as well, which needs a tag or
   * gets `latest`; it is taken from the image that has it. Errors: not-found, invalid-argument, permission-denied by the policy.
   */
  async tag(source: string, target: string): Promise<void> {
    await told(`tag ${source.slice(0, 300)} as ${target.slice(0, 300)}`, () => tagImage(this.#tools, source, target));
    await this.collect();
  }

  /** Takes away one name, or by id all of them. Gives what went, and whether the image has no name left. Error: not-found. */
  async untag(refOrId: string): Promise<Untagged> {
    const gone = await told(`remove image ${refOrId.slice(0, 300)}`, () => untagImage(this.#tools.store, refOrId));
    await this.#reclaim();
    return gone;
  }

  /** Everything that is known of an image, with its documents as they were pulled; read from disk. Error: not-found. */
  inspect(refOrId: string): Promise<ImageDetails> {
    return inspectImage(this.#tools.store, refOrId);
  }

  /**
   * What a container's root file system is made of. The directories stay until `release`, and those of the images in
   * `volumes`.
   */
  async mounts(imageId: string, containerId: string, volumes: readonly string[] = []): Promise<ImageMounts> {
    checkContainer(containerId);
    const { catalog, holds } = this.#tools.store;
    const image = this.#image(imageId);
    const others = [...new Set(volumes)].map((id) => this.#image(id).id);
    using _hold = holds.take(...[image.id, ...others].map((id) => holdKey('image', id)));
    await catalog.addLease({ container: containerId, image: image.id, volumes: others });
    return this.layersOf(imageId);
  }

  /** The same without a lease. */
  layersOf(imageId: string): ImageMounts {
    const { store } = this.#tools;
    const { lowers } = this.#image(imageId);
    return { lowers: lowerPaths(store, lowers), root: rootOf(store, lowers) };
  }

  #image(id: string): StoredImage {
    const image = this.#tools.store.catalog.image(id);
    if (image === undefined) throw notFound(`mount image ${id}: there is no such image; pull it again`);
    return image;
  }

  /** Ends the container's lease; an image of it goes when it has no name left. No error when there is no lease. */
  async release(containerId: string): Promise<void> {
    checkContainer(containerId);
    const { catalog } = this.#tools.store;
    const lease = catalog.leases().find(({ container }) => container === containerId);
    if (lease === undefined) return;
    await catalog.removeLease(containerId);
    const named = new Set(catalog.names().map(({ image }) => image));
    if (![lease.image, ...lease.volumes].every((image) => named.has(image))) await this.collect();
  }

  /** The ids of the containers that have a lease. */
  leases(): readonly string[] {
    return this.#tools.store.catalog.leases().map(({ container }) => container);
  }

  /** A file of the image, links followed inside its root; undefined when it is not there. At most 1 MiB. */
  readFile(imageId: string, path: string, limit: number): Promise<Buffer | undefined> {
    return this.#files.read(imageId, path, limit);
  }

  /** The image's whole configuration (OCI image-spec) as it was pulled; undefined when its bytes are gone. */
  async document(imageId: Digest): Promise<JsonObject | undefined> {
    if (this.#tools.store.catalog.image(imageId)?.artifact !== undefined) return undefined;
    const bytes = await this.#tools.store.blobs.look(imageId);
    return bytes === undefined ? undefined : parseObject(bytes, `configuration of image ${imageId}`);
  }

  /** Whether the image has a directory at `path`, links followed inside its root. */
  hasDirectory(imageId: string, path: string): Promise<boolean> {
    return this.#files.isDirectory(imageId, path);
  }

  /**
   * Copies directories of the image, links to them followed inside its root, into empty ones with owner and mode. What the
   * image does not have leaves its `to` as it is. `links`: an empty directory beside them, that the caller removes.
   */
  copyOut(imageId: string, copies: readonly Copy[], links: string): Promise<void> {
    return this.#files.copyOut(imageId, copies, links);
  }

  usage(): Promise<ImageUsage> {
    return Promise.resolve(usageOf(this.#tools.store));
  }

  /** Removes what no name, no lease and no call in flight needs. */
  collect(): Promise<void> {
    return collectGarbage(this.#tools.store, this.#options.log);
  }

  /** Where the disk goes: images, layers, blobs, what is unfinished and what is to be deleted. */
  disk(signal: AbortSignal): Promise<ImagesDisk> {
    return diskOf(this.#tools, signal);
  }

  /** The images that `prune` would take, and what would be free then. `before` is ms since 1970. */
  async prunable(before: number): Promise<TreeSize & { readonly images: readonly ImageDisk[] }> {
    const images = await prunable(this.#tools.store, before);
    return { images, ...prunableSize(this.#tools.store, images) };
  }

  /** Removes what `prunable` tells, and deletes it before it ends. */
  prune(job: Omit<PruneJob, 'log'>): AsyncGenerator<{ readonly image?: ImageDisk; readonly freed: TreeSize }> {
    return pruneImages(this.#tools.store, { ...job, log: this.#options.log });
  }

  /** Reads everything that is kept and compares it with what it should be. */
  check(job: Omit<CheckJob, 'log'>): AsyncGenerator<CheckEvent> {
    return checkStore(this.#tools, { ...job, log: this.#options.log });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tools.transport[Symbol.dispose]();
    await this.#tools.store.remover[Symbol.asyncDispose]();
    await this.#tools.gate[Symbol.asyncDispose]();
  }
}

const keyringOf = ({ credentials }: RegistrySettings, { helper, log }: ImagesOptions): Keyring =>
  credentials === undefined ? nobody : new NodeKeyring(credentials, helper, log);

/** In Node's words or in the helper's. */
const isDiskFull = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '') ||
  /\b(?:ENOSPC|EDQUOT)\b|No space left on device$|[Qq]uota exceeded$/.test(messageOf(error));

/** Node's own errors of the disk have no code of ours. */
const withDiskFull = (error: unknown): unknown =>
  isDiskFull(error) && !(error instanceof BerthError)
    ? new BerthError('resource-exhausted', messageOf(error), { cause: error })
    : error;

/** Node's errors say what they were about to do to which file, and not for what. */
const told = async <T>(action: string, run: () => Promise<T>): Promise<T> => {
  try {
    return await run();
  } catch (error) {
    throw error instanceof BerthError ? error : within(action, error);
  }
};

/** It becomes a file name. */
const checkContainer = (id: string): void => {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(id))
    throw invalid(`container id ${JSON.stringify(id.slice(0, 160))} is not valid`);
};
