import { invalid, notFound } from '../base/errors.ts';
import { Flights } from '../base/locks.ts';
import { holdKey } from './holds.ts';
import { lowerPaths } from './layers/fixups.ts';
import { runHelper } from './layers/helper.ts';
import type { ImageStore } from './store.ts';
import type { Helper, HelperResult } from './types.ts';

/** What the helper's stdout holds. */
const longest = 1 << 20;
const mostCached = 64;
const mostCachedBytes = 8 << 20;
const isMissing = 3;
const isDirectory = 4;

/** A directory of an image and the empty one of the host that it is copied to. */
export interface Copy {
  readonly path: string;
  readonly to: string;
}

/** Reads files out of the merged layers, by the confined helper; what an image holds never changes, so it is kept. */
export class FileReader {
  readonly #store: ImageStore;
  readonly #helper: Helper;
  readonly #program: string;
  readonly #flights = new Flights<Buffer | undefined>();
  readonly #cache = new Map<string, Buffer | undefined>();
  #bytes = 0;

  constructor(store: ImageStore, helper: Helper, program: string) {
    this.#store = store;
    this.#helper = helper;
    this.#program = program;
  }

  /** The file's bytes, undefined when the image has none there; more than `limit` bytes (at most 1 MiB) is an error. */
  read(imageId: string, path: string, limit: number): Promise<Buffer | undefined> {
    if (limit > longest) throw invalid(`read ${path} of image ${imageId}: limit ${limit} is more than ${longest}`);
    const key = JSON.stringify([imageId, path, limit]);
    if (this.#cache.has(key)) return Promise.resolve(this.#cache.get(key));
    return this.#flights.join(key, async () => {
      const bytes = await this.#run(imageId, path, limit);
      this.#keep(key, bytes);
      return bytes;
    });
  }

  #keep(key: string, bytes: Buffer | undefined): void {
    this.#cache.set(key, bytes);
    this.#bytes += bytes?.length ?? 0;
    for (const [oldest, old] of this.#cache) {
      if (this.#cache.size <= mostCached && this.#bytes <= mostCachedBytes) return;
      this.#cache.delete(oldest);
      this.#bytes -= old?.length ?? 0;
    }
  }

  async isDirectory(imageId: string, path: string): Promise<boolean> {
    return (await this.#layerRead(imageId, path, 0, [0, isMissing, isDirectory])).code === isDirectory;
  }

  async copyOut(imageId: string, copies: readonly Copy[], links: string): Promise<void> {
    const pairs = copies.flatMap(({ path, to }) => ['--path', path, '--to', to]);
    await this.#runOn(imageId, ['layer-copy', '--links', links, ...pairs], 'copy directories', [0]);
  }

  async #run(imageId: string, path: string, limit: number): Promise<Buffer | undefined> {
    const { code, stdout } = await this.#layerRead(imageId, path, limit, [0, isMissing]);
    return code === isMissing ? undefined : stdout;
  }

  #layerRead(imageId: string, path: string, limit: number, allowed: readonly number[]): Promise<HelperResult> {
    const what = `read ${JSON.stringify(path.slice(0, 200))}`;
    return this.#runOn(imageId, ['layer-read', '--limit', String(limit), '--path', path], what, allowed);
  }

  async #runOn(imageId: string, args: readonly string[], action: string, allowed: readonly number[]) {
    const what = `${action} of image ${imageId}`;
    const image = this.#store.catalog.image(imageId);
    if (image === undefined) throw notFound(`${what}: there is no such image`);
    using _hold = this.#store.holds.take(holdKey('image', image.id));
    const argv = [this.#program, ...args, '--lower', ...lowerPaths(this.#store, image.lowers)];
    return await runHelper(this.#helper, { argv, name: `${args[0]} of image` }, what, allowed);
  }
}
