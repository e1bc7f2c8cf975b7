import test, { type ExecutionContext } from 'ava';
import { BerthError, type ErrorCode } from '../../base/errors.ts';
import { type DaemonOptions, TestDaemon } from './daemon.ts';
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

/**
 * One daemon for the tests of a file. After each test every pod is removed, and what is then on the machine must be what
 * was there before: mounts, links, addresses, rules, namespaces, cgroups, processes, files.
 */
export const suiteDaemon = (options: SuiteOptions = {}): (() => TestDaemon) => {
  let daemon: TestDaemon | undefined;
  let before: Snapshot = new Map();
  const current = (): TestDaemon => {
    if (daemon === undefined) throw new Error('the daemon of this file did not start');
    return daemon;
  };
  test.before('berthd starts', async () => {
    daemon = await TestDaemon.start(options);
    await (options.setUp ?? warmUp)(daemon);
    before = await daemon.snapshot();
  });
  test.afterEach.always('nothing is left', async (t) => {
    const ignored = new RegExp(`${reused.source}|${(options.ignore ?? /^$/).source}`);
    await current().ensure();
    await removePods(current());
    await options.tidy?.(current());
    t.deepEqual(await current().leftSince(before, ignored), []);
  });
  test.after.always('berthd is taken down, and nothing of it is on the machine', async (t) => {
    await daemon?.[Symbol.asyncDispose]();
    t.deepEqual(await leftOnMachine(process.pid), []);
  });
  return current;
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
