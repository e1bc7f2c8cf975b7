import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import test from 'ava';
import { dir } from 'tmp-promise';
import type { Runtime } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { removeParents } from './cgroup-parents.ts';

const sandbox = (id: string, slice: string): Sandbox =>
  ({ id, record: { cgroupParents: [slice] } }) as unknown as Sandbox;

/** The slices that are stopped when the pod `one` goes and these pods come once it has been seen that nobody uses its slice. */
const stopped = async (state: string, slice: string, come: readonly Sandbox[]): Promise<readonly string[]> => {
  const units: string[] = [];
  const pods = [sandbox('one', slice)];
  const values = (): IteratorObject<Sandbox> => {
    const now = [...pods];
    pods.push(...come.filter((pod) => !pods.includes(pod)));
    return now.values();
  };
  const systemd = { stopUnit: async (unit: string) => void units.push(unit) };
  const runtime = { config: { state }, sandboxes: { values }, driver: { systemd } } as unknown as Runtime;
  const [one] = pods;
  if (one !== undefined) await removeParents(runtime, one);
  return units;
};

test('a slice that a pod has come into while its last one went is not stopped', async (t) => {
  const { path, cleanup } = await dir({ prefix: 'berth-slice-', unsafeCleanup: true });
  t.teardown(cleanup);
  const slice = join(path, 'berth.slice');
  await Promise.all([mkdir(slice), mkdir(join(path, 'sandboxes/one'), { recursive: true })]);
  t.deepEqual(await stopped(path, slice, []), [basename(slice)]);
  t.deepEqual(await stopped(path, slice, [sandbox('two', slice)]), []);
});
