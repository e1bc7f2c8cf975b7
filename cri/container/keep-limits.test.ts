import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { LiveRuntime } from '../live.ts';
import { containerPaths, emptyObjects, type Runtime } from '../runtime.ts';
import type { Container, ContainerState } from '../state/container.ts';
import { keepLimits } from './keep-limits.ts';

const running = { kind: 'running', pid: 1, startedAt: '1' } as const;

/** A container with memory.oom.group whose start, or whatever else has its lock, is over when the test says so. */
const withContainer = (
  state: ContainerState,
  action: (world: {
    readonly container: Container;
    readonly runtime: Runtime;
    readonly settled: () => void;
    readonly written: readonly string[];
  }) => Promise<void>,
): Promise<void> =>
  withDir(
    async ({ path }) => {
      const written: string[] = [];
      const update = async (plan: Buffer): Promise<void> => void written.push(plan.toString('latin1'));
      const resources = { unified: { 'memory.oom.group': '1' } };
      const record = { state, cgroups: ['/sys/fs/cgroup/kubepods.slice/berth-a.scope'], resources };
      const container = { id: 'a', key: 'a', record, supervisor: { update } } as unknown as Container;
      const objects = emptyObjects();
      objects.containers.add(container);
      const wait = Promise.withResolvers<void>();
      const config = { state: path, root: path, cgroup: { io_weight_annotation: '', io_max_annotation: '' } };
      const cgroups = { unified: { mount: '/sys/fs/cgroup', controllers: ['memory'] }, swap: false };
      const log = { warn: () => {}, debug: () => {} };
      const driver = { systemd: { settled: () => wait.promise } };
      const stopping = new AbortController();
      const runtime = { ...objects, config, cgroups, log, driver, stopping: stopping.signal } as unknown as Runtime;
      const { spec } = containerPaths(runtime.config, 'a');
      await mkdir(dirname(spec), { recursive: true });
      await writeFile(spec, JSON.stringify({ linux: { resources } }));
      keepLimits(new LiveRuntime(runtime, () => ({})));
      try {
        await action({ container, runtime, settled: wait.resolve, written });
      } finally {
        stopping.abort();
      }
    },
    { unsafeCleanup: true },
  );

const until = async (done: () => boolean): Promise<void> => {
  for (let look = 0; look < 2000 && !done(); look += 1) await sleep(10);
};

test('what systemd lost is written again when systemd has done its work', (t) =>
  withContainer(running, async ({ settled, written }) => {
    await sleep(20);
    t.deepEqual(written, []);
    settled();
    await until(() => written.length > 0);
    t.regex(written.join(), /memory\.oom\.group/);
  }));

test('a container that is being started while systemd reloads has its limits written again as well', (t) =>
  withContainer({ kind: 'created' }, async ({ container, runtime, settled, written }) => {
    const start = Promise.withResolvers<void>();
    void runtime.locks.run(container.id, () => start.promise);
    await sleep(20);
    settled();
    await sleep(20);
    container.record = { ...container.record, state: running };
    start.resolve();
    await until(() => written.length > 0);
    t.regex(written.join(), /memory\.oom\.group/);
  }));
