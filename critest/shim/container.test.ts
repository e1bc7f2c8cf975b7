import { mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { BerthError } from '../../base/errors.ts';
import { leavesNothing } from '../harness/leaves-nothing.ts';
import { until } from '../harness/until.ts';
import { Room } from './room.ts';

leavesNothing();

test('a container writes its log in the CRI format and leaves its exit code', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['/bin/guest', 'both']);
  const exit = await container.ended();
  t.is(exit.code, 0);
  t.is(exit.signal, 0);
  t.deepEqual((await container.lines()).sort(), ['stderr F to stderr', 'stdout F to stdout']);
  const text = await readFile(container.log, 'utf8');
  for (const line of text.trim().split('\n'))
    t.regex(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00 std(out|err) F /);
  t.is((await stat(container.log)).mode & 0o777, 0o640);
  t.deepEqual(await room.cgroupsLeft(), []);
  t.deepEqual((await readdir(container.bundle)).sort(), ['exit', 'lock', 'logs', 'plan', 'upper', 'work']);
});

test('the exit code and the signal are those of the main process', async (t) => {
  await using room = await Room.make();
  const [seven, aborted] = [await room.start(['guest', 'exit', '7']), await room.start(['guest', 'sleep', '60'])];
  t.like(await seven.ended(), { code: 7, signal: 0, oomKilled: false });
  await aborted.with((supervisor) => supervisor.kill(9, 'main'));
  t.like(await aborted.ended(), { code: 137, signal: 9, oomKilled: false });
});

test('a container that takes more memory than its limit is recorded as killed for it', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'eat'], { memory: 16 << 20 });
  t.like(await container.ended(), { signal: 9, oomKilled: true });
});

test('wait answers with the exit record, after the file is written', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'sleep', '1']);
  const exit = await container.with((supervisor) => supervisor.wait());
  t.is(exit.code, 0);
  t.deepEqual(await container.ended(), exit);
});

test('a partial line is closed with F, and longer ones than 16 KiB are split with P', async (t) => {
  await using room = await Room.make();
  const long = 'x'.repeat(40_000);
  const container = await room.start(['guest', 'raw', `a\n${long}`]);
  await container.ended();
  const lines = await container.lines();
  t.is(lines[0], 'stdout F a');
  t.deepEqual(
    lines.slice(1).map((line) => line.slice(0, 8)),
    ['stdout P', 'stdout P', 'stdout F'],
  );
  t.is(
    lines
      .slice(1)
      .map((line) => line.slice(9))
      .join(''),
    long,
  );
});

test('every line of a quick writer arrives', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'lines', '200000']);
  await container.ended();
  const lines = await container.lines();
  t.is(lines.length, 200_000);
  t.true(lines.every((line, index) => line === `stdout F line ${index}`));
});

test('reopening the log while the container writes loses no line', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'tick', '100000']);
  const rotated: string[] = [];
  for (let turn = 0; turn < 5; turn += 1) {
    await until('some lines', async () => (await container.lines()).length > 20);
    rotated.push(`${container.log}.${turn}`);
    await rename(container.log, rotated.at(-1) ?? '');
    await container.with((supervisor) => supervisor.reopenLog());
  }
  await container.with((supervisor) => supervisor.kill(9, 'main'));
  await container.ended();
  const lines: string[] = [];
  for (const path of [...rotated, container.log]) lines.push(...(await container.lines(path)));
  t.deepEqual(
    lines,
    Array.from({ length: lines.length }, (_, index) => `stdout F tick ${index}`),
  );
});

test('a log path that became a link or a directory is refused on reopen, and the old file stays', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const target = join(room.directory, 'target');
  await rename(container.log, `${container.log}.1`);
  await symlink(target, container.log);
  const error = await t.throwsAsync(container.with((supervisor) => supervisor.reopenLog()));
  t.regex(error.message, /open log .*: ELOOP/);
  await t.throwsAsync(stat(target));
});

test('a command that does not exist gives an error with its name, and leaves nothing', async (t) => {
  await using room = await Room.make();
  const container = await room.container(['no-such-program']);
  const error = await t.throwsAsync<BerthError>(container.start());
  t.is(error.message, 'start container: exec no-such-program (looked for in PATH): ENOENT: no such file or directory');
  const absolute = await room.container(['/bin']);
  t.is((await t.throwsAsync(absolute.start())).message, 'start container: exec /bin: EACCES: permission denied');
  t.deepEqual(await room.cgroupsLeft(), []);
  t.deepEqual((await readdir(container.bundle)).sort(), ['lock', 'logs', 'plan', 'upper', 'work']);
  await until('the lock is free', async () => (await room.agent.tryLock(join(container.bundle, 'lock'))).free);
});

test('an image whose /dev or /proc is a symlink is refused', async (t) => {
  await using room = await Room.make();
  for (const name of ['dev', 'proc']) {
    const layer = await room.layer((path) => symlink('/tmp', join(path, name)));
    const container = await room.container(['guest', 'echo'], { layers: [layer] });
    const error = await t.throwsAsync(container.start());
    t.is(error.message, `start container: open target /${name}: ELOOP`);
  }
});

test('a bind target behind a link is made inside the root', async (t) => {
  await using room = await Room.make();
  const outside = join(room.directory, 'outside');
  const layer = await room.layer(async (path) => {
    await mkdir(join(path, 'etc'));
    await symlink(`../../../../..${outside}/file`, join(path, 'etc/hosts'));
  });
  const source = join(room.directory, 'hosts');
  await writeFile(source, 'bound\n');
  const bind = { destination: '/etc/hosts', type: 'bind', source, options: ['rbind', 'ro'] };
  const container = await room.start(['guest', 'cat', '/etc/hosts'], { layers: [layer], mounts: [bind] });
  t.is((await container.ended()).code, 0);
  t.deepEqual(await container.lines(), ['stdout F bound']);
  await t.throwsAsync(stat(outside));
  t.true((await stat(join(container.bundle, 'upper', outside, 'file'))).isFile());
});

test('masked paths read as empty, read-only paths and a read-only root refuse writes', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait'], { readonlyRoot: true });
  const { stdout } = await container.exec(['guest', 'type', '/proc/interrupts']);
  t.is(stdout.toString(), '20666 1:3\n');
  t.is((await container.exec(['guest', 'list', '/sys/firmware'])).stdout.toString(), '');
  t.is(
    (await container.exec(['guest', 'create', '/proc/sys/kernel/hostname'])).stdout.toString(),
    'Read-only file system\n',
  );
  t.is((await container.exec(['guest', 'create', '/file'])).stdout.toString(), 'Read-only file system\n');
});

test('a mount source that is not there is named in the error', async (t) => {
  await using room = await Room.make();
  const bind = { destination: '/data', type: 'bind', source: '/not/there', options: ['rbind'] };
  const container = await room.container(['guest', 'echo'], { mounts: [bind] });
  t.is((await t.throwsAsync(container.start())).message, 'start container: open mount source /not/there: ENOENT');
});

test('the working directory is made when it is missing', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'cwd'], { process: { cwd: '/srv/app' }, readonlyRoot: true });
  await container.ended();
  t.deepEqual(await container.lines(), ['stdout F /srv/app']);
});

test('uid, gid and groups are as asked', async (t) => {
  await using room = await Room.make();
  const user = { uid: 1000, gid: 100, additionalGids: [10, 20] };
  const container = await room.start(['guest', 'ids'], { process: { user } });
  await container.ended();
  t.deepEqual(await container.lines(), ['stdout F 1000 100 10 20']);
});

test('a container runs on fifty layers, and on as many without lowerdir+', async (t) => {
  for (const without of [[], ['lowerdirPlus']] as const) {
    await using room = await Room.make(without);
    const layers: string[] = [];
    for (let index = 0; index < 50; index += 1)
      layers.push(await room.layer((path) => writeFile(join(path, `file-${index}`), `${index}\n`)));
    const container = await room.start(['guest', 'cat', '/file-49'], { layers });
    t.is((await container.ended()).code, 0);
    t.deepEqual(await container.lines(), ['stdout F 49']);
  }
});

test('nothing of the host is mounted in a container, and it holds no descriptor but its streams', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const { stdout } = await container.exec(['guest', 'cat', '/proc/self/mountinfo']);
  const points = stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
  for (const point of points) t.regex(point, /^\/($|proc|dev|sys)/);
  const { pid } = await container.with((supervisor) => supervisor.state());
  t.deepEqual(await readdir(room.proc(pid, 'fd')), ['0', '1', '2']);
  t.deepEqual((await container.exec(['guest', 'list', '/proc/self/fd'])).stdout.toString().trim().split('\n'), [
    '0',
    '1',
    '2',
    '3',
  ]);
});

test('each cgroup hierarchy is mounted once, read-only, and its root is the container’s own cgroup', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const text = async (path: string): Promise<string> =>
    (await container.exec(['guest', 'cat', path])).stdout.toString();
  const table = (await text('/proc/self/mountinfo')).trim().split('\n');
  const mounts = table.map((line) => line.split(' ')).filter((words) => words[4]?.startsWith('/sys/fs/cgroup'));
  t.is(mounts.length, container.cgroups.length + 1);
  t.is(new Set(mounts.map((words) => words[4])).size, mounts.length);
  for (const words of mounts) {
    t.is(words[3], '/', words.join(' '));
    t.true(words[5]?.split(',').includes('ro'), words.join(' '));
  }
  t.is(await text('/sys/fs/cgroup/memory/cgroup.procs').then((pids) => pids.split('\n')[0]), '1');
  const made = await container.exec(['guest', 'create', '/sys/fs/cgroup/x']);
  t.is(made.stdout.toString(), 'Read-only file system\n');
});
