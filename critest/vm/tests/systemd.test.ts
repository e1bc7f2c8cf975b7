import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { idle, runPod, type TestContainer } from '../../harness/pods.ts';
import { suiteDaemon } from '../../harness/suite.ts';
import { until } from '../../harness/until.ts';
import { Cgroup, placeOf, root } from '../cgroup.ts';

const daemon = suiteDaemon({ driver: 'systemd' });
const systemctl = async (...words: readonly string[]): Promise<string> =>
  (await promisify(execFile)('systemctl', words)).stdout.trim();
const scopeOf = ({ id }: TestContainer): string => `berth-${id}.scope`;

test('RuntimeConfig tells kubelet the driver', async (t) => {
  t.deepEqual(await daemon().client.RuntimeConfig({}), { linux: { cgroup_driver: 'SYSTEMD' } });
});

test('a container is in a scope of its own below its pod’s slice, and nothing of it stays', async (t) => {
  const name = daemon().world.cgroup.replace('.slice', '');
  const pod = await runPod(daemon(), { linux: { cgroup_parent: `${name}-pod1.slice` } });
  const container = await pod.run(idle);
  const slice = `/${name}.slice/${name}-pod1.slice`;
  t.is(await placeOf(daemon(), await container.pid()), `${slice}/${scopeOf(container)}`);
  t.is(await systemctl('is-active', scopeOf(container)), 'active');
  t.is((await container.exec('cat /proc/self/cgroup')).stdout, '0::/\n');
  await container.stop();
  await until(
    'the unit is gone',
    async () => (await systemctl('show', '-P', 'LoadState', scopeOf(container))) === 'not-found',
  );
  await pod.remove();
  t.false(await new Cgroup(root + slice).exists());
  t.is(await systemctl('show', '-P', 'ActiveState', `${name}-pod1.slice`), 'inactive');
});

test('fifty containers at once are fifty scopes, and none stays when they have ended', async (t) => {
  const pods = await Promise.all(Array.from({ length: 5 }, () => runPod(daemon())));
  const containers = await Promise.all(pods.flatMap((pod) => Array.from({ length: 10 }, () => pod.run(idle))));
  const units = await systemctl('list-units', '--type=scope', '--plain', '--no-legend', 'berth-*');
  t.deepEqual(
    containers.filter((container) => !units.includes(scopeOf(container))),
    [],
  );
  await Promise.all(containers.map((container) => container.stop()));
  await Promise.all(pods.map((pod) => pod.remove()));
  t.is(await systemctl('list-units', '--all', '--type=scope', '--plain', '--no-legend', 'berth-*'), '');
});
