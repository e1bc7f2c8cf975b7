import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { BerthError } from '../../base/errors.ts';
import { leavesNothing } from '../harness/leaves-nothing.ts';
import { until } from '../harness/until.ts';
import { type Container, Room } from './room.ts';

leavesNothing();

/** Processes of the container, by its pids cgroup. */
const processes = async (container: Container): Promise<number> => {
  const directory = container.cgroups.find((path) => path.includes('/pids/')) ?? '';
  return (await readFile(`${directory}/cgroup.procs`, 'utf8')).split('\n').length - 1;
};

test('an exec answers with both streams and its exit code', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const { stdout, stderr, exitCode } = await container.exec(['guest', 'both']);
  t.deepEqual([stdout.toString(), stderr.toString(), exitCode], ['to stdout\n', 'to stderr\n', 0]);
  t.is((await container.exec(['guest', 'exit', '9'])).exitCode, 9);
});

test('an exec sees the pid namespace, root and cgroup of its container', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  t.regex((await container.exec(['guest', 'cat', '/proc/1/cmdline'])).stdout.toString(), /^guest\0wait/);
  const cgroups = (await container.exec(['guest', 'cat', '/proc/self/cgroup'])).stdout.toString().trim().split('\n');
  for (const line of cgroups) if (!line.startsWith('0::')) t.regex(line, /:\/$/);
});

test('an exec of what does not exist is an error that names it', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  t.is(
    (await t.throwsAsync(container.exec(['nothing']))).message,
    'exec: exec nothing (looked for in PATH): ENOENT: no such file or directory',
  );
});

test('an exec that is late is killed with all that it started', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const started = performance.now();
  const error = await t.throwsAsync<BerthError>(container.exec(['guest', 'family'], { timeoutMs: 300 }));
  t.is(error.code, 'deadline-exceeded');
  t.true(performance.now() - started < 10_000);
  await until('only the main process is left', async () => (await processes(container)) === 1);
});

test('a daemon that an exec made is killed with it when it is late, others’ live on', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  await container.exec(['guest', 'background', '600']);
  const other = container.exec(['guest', 'sleep', '600']);
  await until('both others run', async () => (await processes(container)) === 3);
  const error = await t.throwsAsync<BerthError>(container.exec(['guest', 'escape'], { timeoutMs: 500 }));
  t.is(error.code, 'deadline-exceeded');
  await until('what was before is left', async () => (await processes(container)) === 3);
  await sleep(200);
  t.is(await processes(container), 3);
  await container.with((supervisor) => supervisor.kill(9, 'main'));
  t.is((await other).exitCode, 137);
});

test('a background child that keeps the pipe open does not hold up an exec', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const started = performance.now();
  const { stdout, exitCode } = await container.exec(['guest', 'background', '60']);
  t.deepEqual([stdout.toString(), exitCode], ['parent is done\n', 0]);
  t.true(performance.now() - started < 30_000);
  t.is(await processes(container), 2, 'the child itself lives on');
});

test('an exec whose caller goes away is killed', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const stop = new AbortController();
  const call = container.exec(['guest', 'family'], { signal: stop.signal });
  await until('the family runs', async () => (await processes(container)) >= 4);
  stop.abort();
  t.is((await t.throwsAsync<BerthError>(call)).code, 'cancelled');
  await until('only the main process is left', async () => (await processes(container)) === 1);
});

test('of more output than the limit the rest is read and thrown away', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const { stdout, exitCode } = await container.exec(['guest', 'lines', '300000'], { limit: 1000 });
  t.deepEqual([stdout.length, exitCode], [1000, 0]);
  t.is((await container.exec(['guest', 'lines', '300000'])).stdout.toString().split('\n').length, 300_001);
});

test('an exec ends with its container', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const exec = container.exec(['guest', 'sleep', '60']);
  await until('the exec runs', async () => (await processes(container)) === 2);
  await container.with((supervisor) => supervisor.kill(9, 'main'));
  t.is((await exec).exitCode, 137);
  t.is((await container.ended()).code, 137);
});

test('a hundred execs, twenty at a time, leave no process and no descriptor', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  for (let turn = 0; turn < 5; turn += 1) {
    const all = Array.from({ length: 20 }, (_, index) => container.exec(['guest', 'echo', `${index}`]));
    const outputs = await Promise.all(all);
    t.deepEqual(
      outputs.map(({ stdout }) => stdout.toString()),
      outputs.map((_, index) => `${index}\n`),
    );
  }
  t.is(await processes(container), 1);
});
