import test from 'ava';
import { names } from './harness/images.ts';
import { idle, runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({ images: [names.busybox, names.stopSignal] });
const ready = 'echo ready; while :; do sleep 0.05; done';
const stubborn = `trap "" TERM; ${ready}`;

test('StopContainer sends SIGTERM and takes the exit code that the program chose', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(`trap "echo bye; exit 12" TERM; ${ready}`);
  await until('the trap is set', async () => (await container.text()) === 'ready\n');
  await container.stop(10);
  const status = await container.status();
  t.deepEqual([status.state, status.exit_code], ['CONTAINER_EXITED', 12]);
  t.is(await container.text(), 'ready\nbye\n');
});

test('what ignores SIGTERM is killed after the grace period, not before', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(stubborn);
  await until('the trap is set', async () => (await container.text()) === 'ready\n');
  const started = performance.now();
  await container.stop(1);
  const took = performance.now() - started;
  t.true(took >= 950 && took < 30_000, `${took} ms`);
  t.is((await container.status()).exit_code, 137);
});

test('timeout 0 kills at once', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(`trap "echo told" TERM; ${ready}`);
  await until('the trap is set', async () => (await container.text()) === 'ready\n');
  await container.stop(0);
  t.is((await container.status()).exit_code, 137);
  t.is(await container.text(), 'ready\n');
});

test("the image's stop signal is used, and the request's wins over it", async (t) => {
  const pod = await runPod(daemon());
  const traps = `trap "exit 1" TERM; trap "exit 2" USR1; trap "exit 3" INT; ${ready}`;
  const image = { image: names.stopSignal };
  const byImage = await pod.run(traps, { image });
  const byRequest = await pod.run(traps, { image, stop_signal: 'SIGNAL_SIGINT' });
  for (const container of [byImage, byRequest])
    await until('the traps are set', async () => (await container.text()) === 'ready\n');
  t.is((await byImage.status()).stop_signal, 'SIGNAL_SIGUSR1');
  await Promise.all([byImage.stop(10), byRequest.stop(10)]);
  t.is((await byImage.status()).exit_code, 2);
  t.is((await byRequest.status()).exit_code, 3);
});

test('StopContainer is idempotent, and a container that is not there is stopped', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  await container.stop(5);
  const first = await container.status();
  await container.stop(5);
  t.deepEqual(await container.status(), first);
  await t.notThrowsAsync(daemon().client.StopContainer({ container_id: 'c'.repeat(64), timeout: 1 }));
});

test('a negative grace period is refused', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  await fails(t, container.stop(-1), 'invalid-argument', /timeout/);
});

test('a container that was created and never started is stopped without running', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.create('echo ran');
  await container.stop(1);
  await t.notThrowsAsync(container.remove());
});

test('A16: the whole cgroup is killed: children that left the session and ignore signals too', async (t) => {
  const pod = await runPod(daemon());
  const child = 'setsid sh -c "trap \\"\\" TERM HUP INT; while :; do sleep 7654; done" &';
  const container = await pod.run(`${child} ${child} ${ready}`);
  const alive = async (): Promise<string> => daemon().world.sh('ps -e -o args= | grep "^sleep 7654" || true');
  await until('the children run', async () => (await alive()).trim().split('\n').length === 2);
  await container.stop(0);
  t.is(await alive(), '');
});

test('two stops at once, the second with a shorter grace period, both end when the container does', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(stubborn);
  await until('the trap is set', async () => (await container.text()) === 'ready\n');
  const started = performance.now();
  await Promise.all([container.stop(60), container.stop(0)]);
  t.true(performance.now() - started < 30_000);
});

test('a container gets its stop signal once, however often and with whatever grace period it is to be stopped', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(`trap "echo told" TERM; ${ready}`);
  await until('the trap is set', async () => (await container.text()) === 'ready\n');
  const stop = { container_id: container.id, timeout: 60 };
  const given = new AbortController();
  const left = t.throwsAsync(daemon().client.StopContainer(stop, { signal: given.signal }));
  await until('it was told', async () => (await container.text()).includes('told'));
  given.abort();
  await left;
  await Promise.all([container.stop(60), container.stop(1)]);
  t.is(await container.text(), 'ready\ntold\n');
});

test('A24: one slow stop does not hold up the stop of another container, nor lists and statuses', async (t) => {
  const pod = await runPod(daemon());
  const slow = await pod.run(stubborn);
  const quick = await pod.run(`trap "exit 0" TERM; ${ready}`);
  for (const one of [slow, quick]) await until('the trap is set', async () => (await one.text()) === 'ready\n');
  const stopping = slow.stop(30);
  const started = performance.now();
  await quick.stop(5);
  await slow.status();
  await daemon().client.ListContainers({});
  t.true(performance.now() - started < 15_000);
  t.is((await slow.status()).state, 'CONTAINER_RUNNING');
  await slow.stop(0);
  await stopping;
});

test('a client that gives up during the grace period leaves a container that can be stopped again', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(`trap "echo told" TERM; ${ready}`);
  await until('the trap is set', async () => (await container.text()) === 'ready\n');
  const given = new AbortController();
  const request = { container_id: container.id, timeout: 3600 };
  const left = t.throwsAsync(daemon().client.StopContainer(request, { signal: given.signal }));
  await until('it was told', async () => (await container.text()).includes('told'));
  given.abort();
  await left;
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
  await container.stop(0);
  t.is((await container.status()).state, 'CONTAINER_EXITED');
});

test('StopPodSandbox ends what runs in it, and the containers keep their exit codes', async (t) => {
  const pod = await runPod(daemon());
  const running = await pod.run(stubborn);
  const ended = await pod.run('exit 9');
  await ended.exited();
  await pod.stop();
  t.deepEqual([(await running.status()).exit_code, (await ended.status()).exit_code], [137, 9]);
});

test('a stopped container cannot be started again', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  await container.stop(5);
  await fails(t, container.start(), 'failed-precondition', /exited/);
});
