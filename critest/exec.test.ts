import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { idle, runPod, type TestContainer } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon();
const idling = async (): Promise<TestContainer> => (await runPod(daemon())).run(idle);
const processes = async (container: TestContainer): Promise<string> => (await container.exec('ps -o args')).stdout;

test('ExecSync answers with both streams and the exit code', async (t) => {
  const container = await idling();
  t.deepEqual(await container.exec('echo out; echo err >&2; exit 3'), { stdout: 'out\n', stderr: 'err\n', code: 3 });
  t.deepEqual(await container.exec('true'), { stdout: '', stderr: '', code: 0 });
  t.is((await container.exec('kill -KILL $$')).code, 137);
});

test('ExecSync has an empty stdin', async (t) => {
  t.is((await (await idling()).exec('cat; echo end')).stdout, 'end\n');
});

test("an exec has the container's environment, directory, user and namespaces", async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle, {
    envs: [{ key: 'COLOUR', value: Buffer.from('red') }],
    working_dir: '/tmp',
    linux: { security_context: { run_as_user: { value: 1000n } } },
  });
  const { stdout } = await container.exec('echo $COLOUR; pwd; id -u; ps -o args | head -2 | tail -1; hostname');
  t.is(stdout, `red\n/tmp\n1000\nsh -c ${idle}\n${pod.config.hostname}\n`);
});

test('A15, containerd 2026-53495: a timeout kills the exec and all that it started, and answers DEADLINE_EXCEEDED', async (t) => {
  const container = await idling();
  const started = performance.now();
  await fails(t, container.exec('sleep 4321 & sleep 4321', 1), 'deadline-exceeded', /timeout|deadline|1 ?s|1000/i);
  t.true(performance.now() - started < 20_000);
  await until('the processes are gone', async () => !(await processes(container)).includes('4321'));
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
});

test('a client that gives up ends its exec', async (t) => {
  const container = await idling();
  const given = new AbortController();
  const request = { container_id: container.id, cmd: ['sleep', '8765'] };
  const call = daemon().client.ExecSync(request, { signal: given.signal });
  await until('it runs', async () => (await processes(container)).includes('8765'));
  given.abort();
  await t.throwsAsync(call);
  await until('it is gone', async () => !(await processes(container)).includes('8765'));
});

test('timeout 0 means no timeout', async (t) => {
  const container = await idling();
  t.is((await container.exec('sleep 1.2; echo done', 0)).stdout, 'done\n');
});

test('a timeout longer than any timer does not end the exec at once', async (t) => {
  const container = await idling();
  t.is((await container.exec('sleep 0.2; echo done', 10_000_000)).stdout, 'done\n');
});

test('the error of an exec names the container', async (t) => {
  const container = await idling();
  await fails(t, container.exec(['nosuch']), 'invalid-argument', new RegExp(`${container.id}.*nosuch.*ENOENT`));
});

test('A15, containerd 2026-53495: a background child that keeps the pipe open does not hang ExecSync', async (t) => {
  const container = await idling();
  const started = performance.now();
  const { stdout, code } = await container.exec('sleep 1000 & echo started', 60);
  t.deepEqual([stdout, code], ['started\n', 0]);
  t.true(performance.now() - started < 30_000);
});

test('containerd 2022-31030: more output than 16 MiB is cut, read to its end, and harms nobody', async (t) => {
  const container = await idling();
  const size = 20 << 20;
  const request = { container_id: container.id, cmd: ['sh', '-c', `head -c ${size} /dev/zero; echo end >&2`] };
  const answer = await daemon().client.ExecSync(request);
  t.true(answer.stdout.length > 15 << 20 && answer.stdout.length <= 16 << 20, `${answer.stdout.length}`);
  t.is(Buffer.from(answer.stderr).toString(), 'end\n');
  t.is(answer.exit_code, 0);
  t.is((await container.exec('echo alive')).stdout, 'alive\n');
});

test('ExecSync of a command that does not exist says so, with a code that shells use', async (t) => {
  const container = await idling();
  const request = { container_id: container.id, cmd: ['/no/such/program'] };
  await fails(t, daemon().client.ExecSync(request), 'invalid-argument', /\/no\/such\/program: ENOENT/);
});

test('ExecSync without a command, in a container that does not run, or that is not there is refused', async (t) => {
  const pod = await runPod(daemon());
  const created = await pod.create('true');
  const { client } = daemon();
  const cmd = ['true'];
  await fails(t, client.ExecSync({ container_id: created.id, cmd }), 'failed-precondition', /not running/);
  await created.start();
  await created.exited();
  await fails(t, client.ExecSync({ container_id: created.id, cmd }), 'failed-precondition', /not running/);
  await fails(t, client.ExecSync({ container_id: created.id, cmd: [] }), 'invalid-argument', /cmd/);
  await fails(t, client.ExecSync({ container_id: created.id, cmd, timeout: -1 }), 'invalid-argument', /timeout/);
  await fails(t, client.ExecSync({ container_id: 'b'.repeat(64), cmd }), 'not-found', /bbbb/);
});

test('twenty execs at once get each its own answer', async (t) => {
  const container = await idling();
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => container.exec(`sleep 0.05; echo ${index}`)),
  );
  t.deepEqual(
    answers.map(({ stdout }) => Number(stdout)),
    Array.from({ length: 20 }, (_, index) => index),
  );
});

test('an exec ends when its container ends', async (t) => {
  const container = await idling();
  const call = container.exec('sleep 1000', 60).catch((error: Error) => error);
  await until('it runs', async () => (await processes(container)).includes('sleep 1000'));
  await container.stop();
  const answer = await Promise.race([call, sleep(30_000, 'hangs', { ref: false })]);
  t.not(answer, 'hangs');
});

test('A25: an exec starts no process but its own, and forks at most twice for it', async (t) => {
  const container = await idling();
  const { world } = daemon();
  const main = await container.pid();
  const supervisor = (await world.sh(`awk '{print $4}' /proc/${main}/stat`)).trim();
  const running = new AbortController();
  const request = { container_id: container.id, cmd: ['sleep', '5432'] };
  const call = t.throwsAsync(daemon().client.ExecSync(request, { signal: running.signal }));
  const children = () => world.sh(`ps -o args= --ppid ${supervisor} | sort`);
  const own = `sh -c ${idle}\nsleep 5432\n`;
  await until('the supervisor has its two children, and no other', async () => (await children()) === own);
  running.abort();
  await call;
  // The last number that the world's pid namespace gave away; the shell that looks takes one.
  const last = async (): Promise<number> =>
    Number((await daemon().world.sh('read -r line </proc/loadavg; echo "$line"')).trim().split(' ').at(-1));
  // What the daemon does behind the container's start, as to measure its layer, is counted in the first rounds.
  const rounds: number[] = [];
  do {
    const begun = await last();
    for (let i = 0; i < 10; i += 1) await container.exec(['true']);
    rounds.push((await last()) - begun);
  } while (Math.min(...rounds) > 22 && rounds.length < 10);
  t.true(Math.min(...rounds) >= 10 && Math.min(...rounds) <= 22, `${rounds} processes for ten execs`);
});
