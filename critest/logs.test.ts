import { mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import test from 'ava';
import { logText, parseLog } from './harness/log-lines.ts';
import { idle, runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon();

test('each line has a time, its stream and F, in the order of its stream', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('echo one; echo two; echo three >&2; echo');
  await container.exited();
  const lines = await container.lines();
  const out = lines.filter(({ stream }) => stream === 'stdout');
  t.deepEqual(
    out.map(({ tag, text }) => [tag, text]),
    [
      ['F', 'one'],
      ['F', 'two'],
      ['F', ''],
    ],
  );
  t.is(logText(lines, 'stderr'), 'three\n');
  for (const { time } of lines) t.true(Math.abs(Date.parse(time) - Date.now()) < 60_000, time);
  t.regex(lines[0]?.time ?? '', /\.\d{9}(Z|[+-]\d\d:\d\d)$/);
});

test('a line over 16 KiB is split with P, and joined it is whole', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run("head -c 40000 /dev/zero | tr '\\0' x; echo; echo after");
  await container.exited();
  const lines = await container.lines();
  t.deepEqual(
    lines.map(({ tag }) => tag),
    ['P', 'P', 'F', 'F'],
  );
  t.true(lines.every(({ text }) => Buffer.byteLength(text) <= 16384));
  t.is(logText(lines), `${'x'.repeat(40000)}\nafter\n`);
});

test('a line of exactly 16 KiB is one line', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run("head -c 16384 /dev/zero | tr '\\0' y; echo");
  await container.exited();
  t.is(logText(await container.lines()), `${'y'.repeat(16384)}\n`);
});

test('A19: a last line without its newline is closed with F', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('printf "no newline"');
  await container.exited();
  t.deepEqual(
    (await container.lines()).map(({ tag, text }) => [tag, text]),
    [['F', 'no newline']],
  );
});

test('a last line without its newline is P where kubelet takes the termination message out of the log', async (t) => {
  const pod = await runPod(daemon());
  const lastOf = async (policy: string, script: string): Promise<unknown> => {
    const annotations = { 'io.kubernetes.container.terminationMessagePolicy': policy };
    const container = await pod.run(script, { annotations });
    await container.exited();
    return (await container.lines()).map(({ stream, tag, text }) => [stream, tag, text]);
  };
  const both = 'echo one; echo -n DONE; echo -n gone >&2';
  t.deepEqual(await lastOf('FallbackToLogsOnError', both), [
    ['stdout', 'F', 'one'],
    ['stdout', 'P', 'DONE'],
    ['stderr', 'P', 'gone'],
  ]);
  t.deepEqual(await lastOf('FallbackToLogsOnError', 'echo DONE'), [['stdout', 'F', 'DONE']]);
  t.deepEqual(await lastOf('File', 'echo -n DONE'), [['stdout', 'F', 'DONE']]);
});

test('A19: what was written right before the end is in the log when the status says exited', async (t) => {
  const pod = await runPod(daemon());
  for (let round = 0; round < 5; round += 1) {
    const { stdout } = await pod.output('seq 2000; echo last');
    t.is(stdout.split('\n').length, 2002);
    t.true(stdout.endsWith('\n2000\nlast\n'));
  }
});

test('A19: a background child that keeps the log open does not hold up the end', async (t) => {
  const pod = await runPod(daemon());
  const started = performance.now();
  const { status, stdout } = await pod.output('setsid sleep 1000 & echo gone; exit 3');
  t.is(status.exit_code, 3);
  t.is(stdout, 'gone\n');
  t.true(performance.now() - started < 30_000);
});

test('A20: after a rotation with ReopenContainerLog no line is lost and none is there twice', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(
    'i=0; until [ -e /enough ]; do for x in $(seq 50); do echo $i; i=$((i+1)); done; usleep 3000; done; exec echo $i',
  );
  const old: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    await until('something is in the log', async () => (await stat(container.logFile)).size > 0);
    const rotated = `${container.logFile}.${round}`;
    await rename(container.logFile, rotated);
    await daemon().client.ReopenContainerLog({ container_id: container.id });
    old.push(logText(parseLog(await readFile(rotated, 'utf8'))));
  }
  await container.exec('touch /enough');
  await container.exited();
  const numbers = (old.join('') + (await container.text())).trim().split('\n').map(Number);
  t.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, index) => index),
  );
});

test('ReopenContainerLog of a container that does not run is refused and makes no file', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('true');
  await container.exited();
  await rm(container.logFile);
  const reopen = daemon().client.ReopenContainerLog({ container_id: container.id });
  await fails(t, reopen, 'failed-precondition', /not running/);
  await t.throwsAsync(stat(container.logFile), { code: 'ENOENT' });
  const none = daemon().client.ReopenContainerLog({ container_id: 'a'.repeat(64) });
  await fails(t, none, 'not-found', /aaaa/);
});

test('containerd 2026-53489: a log file that was replaced by a symlink is not followed', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(`echo first; ${idle}`);
  await until('the first line is there', async () => (await container.text()) === 'first\n');
  const outside = daemon().world.path('logs', 'outside');
  await rename(container.logFile, `${container.logFile}.1`);
  await symlink(outside, container.logFile);
  await t.throwsAsync(daemon().client.ReopenContainerLog({ container_id: container.id }));
  await t.throwsAsync(stat(outside), { code: 'ENOENT' });
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
});

test('containerd 2026-53489: a symlink at the log path fails the start and is not followed', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.create('echo hello');
  const outside = daemon().world.path('logs', 'outside');
  await symlink(outside, container.logFile);
  await t.throwsAsync(container.start());
  await t.throwsAsync(stat(outside), { code: 'ENOENT' });
});

test('RunPodSandbox makes the log directory, and a container whose log directory is gone is refused', async (t) => {
  const pod = await runPod(daemon());
  const directory = pod.config.log_directory ?? '';
  t.true((await stat(directory)).isDirectory());
  await rm(directory, { recursive: true });
  await fails(t, pod.create('true'), 'failed-precondition', new RegExp(`${directory}.*ENOENT`));
});

test('a log path in a directory below, as kubelet gives it', async (t) => {
  const pod = await runPod(daemon());
  const directory = `${pod.config.log_directory}/name`;
  const create = () => pod.create('echo hello', { log_path: 'name/0.log' });
  await fails(t, create(), 'failed-precondition', new RegExp(`${directory}.*ENOENT`));
  await mkdir(directory);
  const container = await create();
  await container.start();
  await container.exited();
  t.is(await container.text(), 'hello\n');
});

test('a container without a log path runs, and its output goes nowhere', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('echo hello; seq 100000; exit 5', { log_path: '' });
  const status = await container.exited();
  t.is(status.exit_code, 5);
  t.is(status.log_path, '');
});
