import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BerthError } from '../../base/errors.ts';
import { Images, type ImagesOptions } from '../../images/index.ts';
import type { Helper, HelperRequest, HelperResult, ImageSettings, Log, RegistrySettings } from '../../images/types.ts';
import type { Image } from '../harness/image.ts';
import { startTestRegistry, type TestRegistry } from '../harness/own-registry.ts';
import { sourceTree } from '../harness/tree.ts';

/** The helper as the agent would run it, without the agent: the images room knows no other way to start it. */
export const helperWith = (onChild: (pid: number, role: string) => void): Helper => ({
  run: ({ argv: [program = '', ...args], env, stdin, signal, timeoutMs }: HelperRequest): Promise<HelperResult> => {
    const { promise, resolve, reject } = Promise.withResolvers<HelperResult>();
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(env && { env }),
      ...(signal && { signal }),
    });
    const late = (): void => {
      child.kill('SIGKILL');
      reject(new BerthError('deadline-exceeded', `not done in ${timeoutMs} ms`));
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
    child.on('close', () => clearTimeout(timer));
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (data: Buffer) => stdout.push(data));
    child.stderr.on('data', (data: Buffer) => stderr.push(data));
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
    child.on('error', reject);
    child.on('spawn', () => onChild(child.pid ?? 0, args[0] ?? ''));
    child.on('close', (code, name) =>
      resolve({
        code: code ?? 0,
        signal: name === null ? 0 : 9,
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr),
      }),
    );
    return promise;
  },
});

export interface ImageWorld extends AsyncDisposable {
  readonly images: Images;
  readonly root: string;
  readonly warnings: readonly string[];
  /** Closes the store and opens it anew, as a restart of the daemon does. */
  reopen(): Promise<ImageWorld>;
  /** What the store holds: every blob, layer, record and temporary file. */
  content(): Promise<readonly string[]>;
}

/** What was removed is deleted some time later: now. */
export const deleteGarbage = async (images: Images): Promise<void> => {
  for await (const _ of images.prune({ garbageOnly: true, before: 0, signal: new AbortController().signal }));
};

const areas = ['blobs/sha256', 'blobs/sha512', 'layers', 'fixups', 'images', 'names', 'leases', 'tmp'];

export const testSettings: ImageSettings = {
  keepBlobs: true,
  parallelPulls: 16,
  parallelLayers: 4,
  layerLimit: { bytes: 2 ** 33, expansion: 200 },
  pinned: [],
  policy: '',
  policyDir: '',
};

/** No test takes that long to answer, also where it does not run for a while: a stall asks again, and tests count what is asked. */
export const testRegistrySettings: RegistrySettings = { configPath: [], plainHttp: ['127.0.0.1'], stallSeconds: 20 };
/** For a registry that says nothing more. */
export const soonStalled: RegistrySettings = { ...testRegistrySettings, stallSeconds: 0.3 };

/** `place`: on another file system than /tmp. */
export const openWorld = async (options: Partial<ImagesOptions> = {}, place = tmpdir()): Promise<ImageWorld> => {
  const path = await mkdtemp(join(place, 'bt-images-'));
  try {
    return await openAt(path, options);
  } catch (error) {
    await rm(path, { recursive: true, force: true });
    throw error;
  }
};

const openAt = async (root: string, options: Partial<ImagesOptions>): Promise<ImageWorld> => {
  const warnings: string[] = [];
  const warn = (_fields: object, message: string): void => void warnings.push(message);
  const log: Log = { debug: () => undefined, info: () => undefined, warn };
  const images = await Images.open({
    root,
    helper: helperWith(() => undefined),
    program: join(sourceTree, 'build/shim/native/berth-shim'),
    decompressor: join(sourceTree, 'build/shim/native/berth-decompress'),
    registry: testRegistrySettings,
    images: testSettings,
    retries: { tries: 3, pauseMs: 5, longestMs: 1500 },
    log,
    ...options,
  });
  let isOpen = true;
  const world: ImageWorld = {
    images,
    root,
    warnings,
    reopen: async () => {
      isOpen = false;
      await images[Symbol.asyncDispose]();
      return openAt(root, options);
    },
    content: async () => {
      await deleteGarbage(images);
      const lists = areas.map(async (area) =>
        (await readdir(join(root, 'images', area))).map((name) => `${area}/${name}`),
      );
      return (await Promise.all(lists)).flat().toSorted();
    },
    [Symbol.asyncDispose]: async () => {
      if (!isOpen) return;
      isOpen = false;
      await images[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
  return world;
};

export interface RegistryWorld extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly world: ImageWorld;
  /** `app:TAG` from the registry; gives the id. */
  pull(tag?: string, signal?: AbortSignal): Promise<string>;
}

/** A store, and a registry with images in `app` by their tags. */
export const openWithRegistry = async (
  images: Readonly<Record<string, Image>> = {},
  options: Partial<ImagesOptions> = {},
): Promise<RegistryWorld> => {
  const [registry, world] = await Promise.all([startTestRegistry(), openWorld(options)]);
  for (const [tag, made] of Object.entries(images)) registry.add(tag, made);
  const never = new AbortController().signal;
  return {
    registry,
    world,
    pull: (tag = '1', signal = never) => world.images.pull(`${registry.host}/app:${tag}`, undefined, { signal }),
    [Symbol.asyncDispose]: async () => {
      await registry[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
};
