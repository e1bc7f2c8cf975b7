import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import { emptyObjects, type Runtime } from '../runtime.ts';
import type { Container, ContainerRecord } from '../state/container.ts';
import { setResources, setState } from './save.ts';

const ended = { kind: 'exited', startedAt: '1', finishedAt: '2', exitCode: 3, reason: 'Error', message: '' } as const;

/** A container whose record is written to `disk` when the test lets the oldest write go on. */
const slowly = () => {
  const objects = emptyObjects();
  const record = { id: 'a', state: { kind: 'running', pid: 1, startedAt: '1' } } as unknown as ContainerRecord;
  const container = { id: 'a', key: 'a', record, exited: Promise.withResolvers<void>() } as unknown as Container;
  objects.containers.add(container);
  const waiting: (() => void)[] = [];
  const disk: ContainerRecord[] = [];
  const save = (value: ContainerRecord): Promise<void> =>
    new Promise((resolve) => {
      waiting.push(() => {
        disk.push(value);
        resolve();
      });
    });
  const runtime = { ...objects, containerStore: { save } } as unknown as Runtime;
  /** The newest write that waits ends first, as two renames may. */
  const flush = async (): Promise<void> => {
    for (let round = 0; round < 8; round += 1) {
      await setImmediate();
      waiting.pop()?.();
    }
  };
  return { runtime, container, disk, flush };
};

test('an end that is recorded while limits are changed keeps both, on disk and in memory', async (t) => {
  const { runtime, container, disk, flush } = slowly();
  const both = Promise.all([
    setResources(runtime, container, { cpu_shares: '5' }, 'update'),
    setState(runtime, container, ended),
  ]);
  await flush();
  await both;
  for (const record of [container.record, disk.at(-1)])
    t.like(record, { state: ended, resources: { cpu_shares: '5' }, updated: 'update' });
});

test('limits of a container that has just ended are refused, and its record says that it ended', async (t) => {
  const { runtime, container, disk, flush } = slowly();
  const end = setState(runtime, container, ended);
  const change = setResources(runtime, container, {}, 'update');
  await Promise.all([flush(), t.throwsAsync(change, { code: 'failed-precondition', message: 'it has ended' }), end]);
  t.deepEqual([disk.length, container.record.state.kind, container.record.updated], [1, 'exited', undefined]);
});
