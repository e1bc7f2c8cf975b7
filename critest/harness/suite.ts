import test, { type ExecutionContext } from 'ava';
import { BerthError, type ErrorCode } from '../../base/errors.ts';
import { type DaemonOptions, TestDaemon } from './daemon.ts';
import { names } from './images.ts';
import { leftOnMachine } from './left.ts';
import { runPod } from './pods.ts';
import type { Snapshot } from './snapshot.ts';

export interface SuiteOptions extends DaemonOptions {
  /** Differences that are no leak. */
  readonly ignore?: RegExp;
  /** Before the first test. */
  setUp?(daemon: TestDaemon): Promise<void>;
  /** After each test, when its pods are gone. */
  tidy?(daemon: TestDaemon): Promise<void>;
}

/** One daemon for files that ask for the same; several files are one only where critest/vm/tests joins them. */
class Shared {
  readonly #files: SuiteOptions[] = [];
  readonly #using = new Set<SuiteOptions>();
  #daemon: TestDaemon | undefined;
  #before: Snapshot = new Map();

  /** The daemon for a test of this file. */
  add(file: SuiteOptions): () => TestDaemon {
    this.#files.push(file);
    return () => {
      this.#using.add(file);
      return this.#current();
    };
  }

  async start(): Promise<void> {
    const images = this.#files.flatMap((file) => file.images ?? [names.busybox]);
    this.#daemon = await TestDaemon.start({ ...this.#files[0], images: [...new Set(images)] });
    const setUps = new Set(this.#files.map(({ setUp }) => setUp ?? warmUp));
    for (const setUp of setUps) await setUp(this.#daemon);
    this.#before = await this.#daemon.snapshot();
  }

  /** What the test that has just ended has left; none when it did not use this daemon. */
  async left(): Promise<readonly string[]> {
    if (this.#using.size === 0) return [];
    const daemon = this.#current();
    await daemon.ensure();
    await removePods(daemon);
    for (const { tidy } of this.#using) await tidy?.(daemon);
    const ignored = [reused, ...this.#files.flatMap(({ ignore }) => ignore ?? [])]; // what one file leaves, the next one sees
    this.#using.clear();
    const left = await daemon.leftSince(this.#before, new RegExp(ignored.map(({ source }) => source).join('|')));
    if (left.length > 0) this.#before = await daemon.snapshot(); // told once, not after each test that follows
    return left;
  }

  async end(): Promise<void> {
    await this.#daemon?.[Symbol.asyncDispose]();
  }

  #current(): TestDaemon {
    if (this.#daemon === undefined) throw new Error('the daemon of this file did not start');
    return this.#daemon;
  }
}

const shared = new Map<string, Shared>();

/**
 * One daemon for the tests of a file. After each test every pod is removed, and what is then on the machine must be what
 * was there before: mounts, links, addresses, rules, namespaces, cgroups, processes, files.
 */
export const suiteDaemon = (options: SuiteOptions = {}): (() => TestDaemon) => {
  const { config, env, network, hostNetwork, through, setUp, driver } = options;
  const own = setUp === undefined ? 0 : shared.size + 1;
  const key = JSON.stringify([config, env, network, hostNetwork, through, driver, own]);
  const known = shared.get(key);
  if (known !== undefined) return known.add(options);
  const one = new Shared();
  shared.set(key, one);
  test.before('berthd starts', () => one.start());
  test.afterEach.always('nothing is left', async (t) => {
    t.deepEqual(await one.left(), []);
  });
  test.after.always('berthd is taken down, and nothing of it is on the machine', async (t) => {
    await one.end();
    if (one === [...shared.values()].at(-1)) t.deepEqual(await leftOnMachine(process.pid), []);
  });
  return one.add(options);
};

// What is kept on purpose for the next time, and found again by its key: compiled filters, host-local's last address.
export const reused = /files: . \.\/(root\/seccomp|ipam\/test\/last_reserved_ip)/;

/** The first pod makes what stays for all: the bridge, parent cgroups. */
export const warmUp = async (daemon: TestDaemon): Promise<void> => {
  const pod = await runPod(daemon);
  await pod.output('true');
  await pod.remove();
};

export const removePods = async (daemon: TestDaemon): Promise<void> => {
  const { items } = await daemon.client.ListPodSandbox({});
  await Promise.all(items.map(({ id }) => daemon.client.RemovePodSandbox({ pod_sandbox_id: id })));
};

/** The call fails with this code, and its message says this. */
export const fails = async (
  t: ExecutionContext,
  call: Promise<unknown>,
  code: ErrorCode,
  message: RegExp,
): Promise<void> => {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof BerthError)) {
    t.fail(error === undefined ? `no error, expected ${code}` : `not an error of the wire: ${String(error)}`);
    return;
  }
  t.is(error.code, code, error.message);
  t.regex(error.message, message);
};
