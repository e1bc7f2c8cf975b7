import { copyFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { idle, runPod, type TestContainer } from './harness/pods.ts';
import { greetingOf, installRelease } from './harness/release.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { buildTree } from './harness/tree.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({
  tidy: async (one) => {
    if (one.tree === buildTree) return;
    one.tree = buildTree;
    await one.killAndBoot();
  },
});

/** Writes a number every 20 ms until TERM, then ends with 11. */
const counter = 'trap "exit 11" TERM; i=0; while :; do echo $i; i=$((i+1)); usleep 20000; done';

const numbers = async (container: TestContainer): Promise<number[]> =>
  (await container.text()).trim().split('\n').filter(Boolean).map(Number);

const versionOf = ({ id }: TestContainer): Promise<number> => greetingOf(daemon().world.path('state/containers', id));

/** Another installation takes over: kill -9 of the daemon, and the other one on the same directories. */
const change = async (tree: string): Promise<void> => {
  await daemon().kill();
  daemon().tree = tree;
  await daemon().boot();
};

/** What a person or kubelet does with a container that another release has started. */
const checkWhole = async (t: ExecutionContext, container: TestContainer, pid: number): Promise<void> => {
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
  t.is(await container.pid(), pid);
  t.is((await container.exec('echo from exec')).stdout, 'from exec\n');
  const seen = (await numbers(container)).length;
  await until('its log goes on', async () => (await numbers(container)).length > seen);
  const written = await numbers(container);
  t.deepEqual(
    written,
    written.map((_, index) => index),
  );
  await rm(container.logFile);
  await daemon().client.ReopenContainerLog({ container_id: container.id });
  await until('the new log has lines', async () => (await numbers(container)).length > 0);
  await daemon().client.UpdateContainerResources({ container_id: container.id, linux: { cpu_shares: 512n } });
  await container.stop(10);
  t.is((await container.status()).exit_code, 11);
};

test('pods of the next release are taken over by this one when its files are replaced and gone, and this one’s by the next', async (t) => {
  const gone = await installRelease('next');
  await change(gone.tree);
  const pod = await runPod(daemon());
  const running = await pod.run(counter);
  const ended = await pod.output('exit 3');
  const created = await pod.create('echo started later');
  const pid = await running.pid();
  t.is(await versionOf(running), 2);
  // Written over it would be a program that runs; renamed over it is a new file.
  const own = join(buildTree, 'shim/native/berth-shim');
  await t.throwsAsync(copyFile(own, gone.helper), { code: 'ETXTBSY' });
  await copyFile(own, `${gone.helper}.new`);
  await rename(`${gone.helper}.new`, gone.helper);
  t.is((await running.exec('echo still')).stdout, 'still\n');
  t.is((await pod.output('echo new')).stdout, 'new\n');
  await gone[Symbol.asyncDispose]();
  t.is((await running.exec('echo without its file')).stdout, 'without its file\n');
  await change(buildTree);
  t.like(ended.status, { exit_code: 3, reason: 'Error' });
  await created.start();
  await created.exited();
  t.is(await created.text(), 'started later\n');
  await checkWhole(t, running, pid);
  const ours = await pod.run(counter);
  const ourPid = await ours.pid();
  t.is(await versionOf(ours), 1);
  const waiting = await pod.create('echo of the older one');
  await using next = await installRelease('next');
  await change(next.tree);
  await waiting.start();
  await waiting.exited();
  t.is(await waiting.text(), 'of the older one\n');
  await checkWhole(t, ours, ourPid);
});

type Fields = Record<string, unknown>;

const recordFile = (kind: 'sandboxes' | 'containers', id: string): string =>
  daemon().world.path('root/state', kind, `${id}.json`);

const changeRecord = async (path: string, change: (record: Fields) => Fields): Promise<void> => {
  await writeFile(path, JSON.stringify(change(JSON.parse(await readFile(path, 'utf8')) as Fields)));
};

test('a daemon that cannot speak with a supervisor leaves it be: its container runs on, is stopped, and its end is seen', async (t) => {
  await using far = await installRelease('far');
  const pod = await runPod(daemon());
  const [first, second] = [await pod.run('trap "exit 11" TERM; sleep 86400 & wait'), await pod.run(counter)];
  const [pid, log] = [await first.pid(), (await numbers(second)).length];
  await change(far.tree);
  t.is((await first.status()).state, 'CONTAINER_RUNNING');
  await fails(t, first.exec('true'), 'failed-precondition', /speaks protocol 1, this berthd 5 to 6/);
  await until('the other one’s log goes on', async () => (await numbers(second)).length > log);
  await daemon().world.sh(`kill -TERM ${pid}`);
  t.is((await first.exited()).exit_code, 11);
  await second.stop(0);
  t.is((await second.status()).exit_code, 137);
  t.is((await pod.output('echo new')).stdout, 'new\n');
});

test('records of the next release are read where they say so, and what only later ones know runs on and is left alone', async (t) => {
  const theirs = await runPod(daemon());
  const inTheirs = await theirs.run(counter);
  const ours = await runPod(daemon());
  const theirsToo = await ours.run(idle);
  const kept = await ours.run(idle);
  const later = [recordFile('sandboxes', theirs.id), recordFile('containers', theirsToo.id)];
  const next = [recordFile('sandboxes', ours.id), recordFile('containers', kept.id)];
  await daemon().kill();
  for (const file of later) await changeRecord(file, (record) => ({ ...record, version: 3 }));
  for (const file of next)
    await changeRecord(file, (record) => ({ ...record, version: 2, compatible: 1, ofNext: { more: [1] } }));
  const written = await Promise.all(later.map((file) => readFile(file, 'utf8')));
  await daemon().boot();
  const { client } = daemon();
  const ids = (list: readonly { readonly id: string }[]): readonly string[] => list.map(({ id }) => id);
  t.deepEqual(ids((await client.ListPodSandbox({})).items), [ours.id]);
  t.deepEqual(ids((await client.ListContainers({})).containers), [kept.id]);
  await fails(t, inTheirs.status(), 'not-found', /does not exist/);
  t.is((await kept.exec('echo here')).stdout, 'here\n');
  await client.UpdateContainerResources({ container_id: kept.id, linux: { cpu_shares: 512n } });
  await client.UpdatePodSandboxResources({ pod_sandbox_id: ours.id, resources: { cpu_shares: 512n } });
  for (const file of next) {
    const { version, compatible, ofNext } = JSON.parse(await readFile(file, 'utf8')) as Fields;
    t.deepEqual([version, compatible, ofNext], [1, undefined, { more: [1] }]);
  }
  const before = (await numbers(inTheirs)).length;
  await until('it runs on', async () => (await numbers(inTheirs)).length > before);
  t.deepEqual(await Promise.all(later.map((file) => readFile(file, 'utf8'))), written);
  t.regex(await daemon().log(), /pods of a later berthd are here/);
  await daemon().kill();
  for (const file of later) await changeRecord(file, (record) => ({ ...record, version: 1 }));
  await daemon().boot();
  for (const container of [theirsToo, kept]) t.is((await container.exec('echo back')).stdout, 'back\n');
  await inTheirs.stop(10);
  t.is((await inTheirs.status()).exit_code, 11);
});
