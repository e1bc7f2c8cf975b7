import { readFile } from 'node:fs/promises';
import test from 'ava';
import { idle, runPod, type TestContainer } from '../../harness/pods.ts';
import { suiteDaemon } from '../../harness/suite.ts';
import { until } from '../../harness/until.ts';

const daemon = suiteDaemon();

const directoryOf = async (container: TestContainer): Promise<string> => {
  const line = await daemon().world.sh(`cat /proc/${await container.pid()}/cgroup`);
  return `/sys/fs/cgroup${line.trim().replace(/^0::/, '')}`;
};
const valueOf = async (container: TestContainer, file: string): Promise<string> =>
  (await readFile(`${await directoryOf(container)}/${file}`, 'utf8')).trim();

test('the daemon finds cgroup v2', async (t) => {
  t.is((await daemon().client.Info({})).cgroup_version, 2);
});

test('a container is in the leaf of its id below the parent, and sees itself at the root', async (t) => {
  const container = await (await runPod(daemon())).run(`cat /proc/self/cgroup; ${idle}`);
  t.is(await directoryOf(container), `/sys/fs/cgroup/${daemon().world.cgroup}/${container.id}`);
  await until('it has written', async () => (await container.text()) !== '');
  t.is(await container.text(), '0::/\n');
});

test('memory, cpu and pids limits are in the cgroup', async (t) => {
  const resources = { memory_limit_in_bytes: 64 << 20, cpu_quota: 20_000, cpu_period: 50_000, cpu_shares: 1024 };
  const container = await (await runPod(daemon())).run(idle, { linux: { resources } });
  t.is(await valueOf(container, 'memory.max'), `${64 << 20}`);
  t.is(await valueOf(container, 'cpu.max'), '20000 50000');
  t.regex(await valueOf(container, 'cpu.weight'), /^(39|100)$/);
});

test('an unknown key of unified is refused, a known one is written', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle, { linux: { resources: { unified: { 'memory.high': '33554432' } } } });
  t.is(await valueOf(container, 'memory.high'), '33554432');
  await t.throwsAsync(pod.create(idle, { linux: { resources: { unified: { '../x': '1' } } } }));
});

test('A18: a container that was killed for its memory says OOMKilled and 137', async (t) => {
  const resources = { memory_limit_in_bytes: 16 << 20 };
  const { status } = await (await runPod(daemon())).output(['eat', '100'], { linux: { resources } });
  t.deepEqual([status.reason, status.exit_code], ['OOMKilled', 137]);
});

test('A16: the whole cgroup is killed by cgroup.kill', async (t) => {
  const child = 'setsid sh -c "trap \\"\\" TERM HUP INT; while :; do sleep 7654; done" &';
  const container = await (await runPod(daemon())).run(`${child} ${child} sleep 1000`);
  const alive = (): Promise<string> => daemon().world.sh('ps -e -o args= | grep "^sleep 7654" || true');
  await until('the children run', async () => (await alive()).trim().split('\n').length === 2);
  await container.stop(0);
  t.is(await alive(), '');
});

test('an exec is born in the cgroup of its container', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const { stdout } = await container.exec('cat /proc/self/cgroup');
  t.is(stdout, '0::/\n');
});

test('runc 2023-25809: cgroup is read-only in a container', async (t) => {
  const script = 'ls /sys/fs/cgroup/cgroup.procs && mkdir /sys/fs/cgroup/made || echo refused';
  const { stdout } = await (await runPod(daemon())).output(script);
  t.is(stdout, '/sys/fs/cgroup/cgroup.procs\nrefused\n');
});

test('a container goes on over a kill -9 of the daemon, and its cgroup goes with it', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const directory = await directoryOf(container);
  await daemon().killAndBoot();
  t.is((await container.exec('echo alive')).stdout, 'alive\n');
  await container.stop(0);
  await t.throwsAsync(readFile(`${directory}/cgroup.procs`), { code: 'ENOENT' });
});
