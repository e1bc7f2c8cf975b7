import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { access, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import test from 'ava';
import type { BerthError } from '../../base/errors.ts';
import { encodeFields, encodeFrame, FieldReader, type FrameIn } from '../../shim/frames.ts';
import { Plan } from '../../shim/plan.ts';
import { shimProgram } from '../../shim/program.ts';
import { ExecFlag, Frame } from '../../shim/protocol.ts';
import { ShimSocket } from '../../shim/shim-socket.ts';
import { readExit } from '../../shim/supervisor.ts';
import { leavesNothing } from '../harness/leaves-nothing.ts';
import { until } from '../harness/until.ts';
import { Room } from './room.ts';

leavesNothing();

const run = promisify(execFile);

/** A connection with what came on it. */
class Client {
  readonly socket: ShimSocket;
  readonly frames: FrameIn[] = [];

  private constructor(socket: ShimSocket) {
    this.socket = socket;
    socket.listen({ frame: (frame) => void this.frames.push(frame), lost: () => undefined });
  }

  static async open(bundle: string): Promise<Client> {
    return new Client(await ShimSocket.open(bundle));
  }

  has(type: number): FrameIn | undefined {
    return this.frames.find((frame) => frame.type === type);
  }

  came(type: number, seconds = 20): Promise<FrameIn> {
    return until(`frame ${type}`, () => this.has(type), seconds);
  }

  output(): string {
    const parts = this.frames.filter(({ type }) => type === Frame.STDOUT).map(({ payload }) => payload);
    return Buffer.concat(parts).toString();
  }
}

const all = ExecFlag.STDIN | ExecFlag.STDOUT | ExecFlag.STDERR;

test('a container whose plan waits runs when it is told to go', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'echo', 'gone'], { wait: true });
  await container.with(async (supervisor) => {
    t.is((await supervisor.state()).state, 'waiting');
    await supervisor.go();
  });
  t.is((await container.ended()).code, 0);
  t.deepEqual(await container.lines(), ['stdout F gone']);
});

test('a start that fails after go tells so to who said it, and leaves nothing', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['missing'], { wait: true });
  const error = await t.throwsAsync<BerthError>(container.with((supervisor) => supervisor.go()));
  t.is(error.message, 'exec missing (looked for in PATH): ENOENT: no such file or directory');
  await until('its lock is free', async () => (await room.agent.tryLock(join(container.bundle, 'lock'))).free);
  t.deepEqual(await room.cgroupsLeft(), []);
  t.false((await readdir(container.bundle)).includes('shim.sock'));
  container.forget();
});

test('whoever is attached gets what goes into the log, and the end', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'cat'], { stdin: true });
  const client = await Client.open(container.bundle);
  client.socket.sendFields(Frame.ATTACH, 1, all);
  await client.came(Frame.OK);
  client.socket.send(Frame.STDIN, 1, Buffer.from('over and\nover'));
  await until('the echo', () => client.output() === 'over and\nover');
  await container.with((supervisor) => supervisor.kill(9, 'all'));
  const exit = new FieldReader((await client.came(Frame.EXIT)).payload);
  t.deepEqual([exit.number(), exit.number()], [137, 9]);
  client.socket.close();
  await container.ended();
  t.deepEqual(await container.lines(), ['stdout F over and', 'stdout F over']);
});

test('input that comes after the end of the process costs nobody its last output, nor its end', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'cat'], { stdin: true });
  const client = await Client.open(container.bundle);
  client.socket.sendFields(Frame.ATTACH, 1, all);
  await client.came(Frame.OK);
  client.socket.pause();
  client.socket.send(Frame.STDIN, 1, Buffer.from('last words\n'));
  await until('the echo', async () => (await container.lines()).length === 1);
  await container.with((supervisor) => supervisor.kill(9, 'all'));
  await until('its end is known', () => readExit(container.bundle));
  client.socket.send(Frame.STDIN_END, 1);
  await sleep(100); // what cannot be written is told by then
  client.socket.resume();
  await client.came(Frame.EXIT);
  t.is(client.output(), 'last words\n');
  client.socket.close();
});

test('more than a thousand who come while the supervisor is busy are all greeted', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'cat'], { stdin: true });
  const { supervisorPid } = container.report();
  await room.signal(supervisorPid, 'STOP');
  const path = join(container.bundle, 'shim.sock');
  const clients = Array.from({ length: 1100 }, () => connect(path));
  const greeted = clients.map((client) => once(client, 'data'));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  await room.signal(supervisorPid, 'CONT');
  await Promise.all(greeted);
  t.is((await readdir(room.proc(supervisorPid, 'fd'))).length > clients.length, true);
  for (const client of clients) client.destroy();
});

test('an attached client that does not read holds up neither the container nor its log', async (t) => {
  await using room = await Room.make();
  const container = await room.container(['guest', 'lines', '400000'], { wait: true });
  await container.start();
  const socket = connect(join(container.bundle, 'shim.sock'));
  await once(socket, 'connect');
  socket.pause();
  socket.write(encodeFrame(Frame.HELLO, 0, encodeFields([1])));
  socket.write(encodeFrame(Frame.ATTACH, 1, encodeFields([ExecFlag.STDOUT])));
  await container.with((supervisor) => supervisor.go());
  await until('all lines', async () => (await container.lines()).length === 400_000, 60);
  socket.destroy();
  t.is((await container.ended()).code, 0);
});

test('sixty attached clients that do not read cost a container little memory together', async (t) => {
  await using room = await Room.make();
  const container = await room.container(['guest', 'lines', '1000000'], { wait: true });
  await container.start();
  const clients = await Promise.all(Array.from({ length: 60 }, () => Client.open(container.bundle)));
  for (const { socket } of clients) socket.sendFields(Frame.ATTACH, 1, ExecFlag.STDOUT);
  for (const client of clients) {
    await client.came(Frame.OK);
    client.socket.pause();
  }
  await container.with((supervisor) => supervisor.go());
  const { supervisorPid } = container.report();
  const highest = async (): Promise<number> =>
    Number(/VmHWM:\s+(\d+)/.exec(await readFile(room.proc(supervisorPid, 'status'), 'utf8'))?.[1]);
  let memory = 0;
  await until('all is in the log', async () => {
    memory = await highest().catch(() => memory);
    return (await readExit(container.bundle)) !== undefined;
  });
  t.true(memory > 0 && memory < 30_000, `${memory} KiB`);
  for (const { socket } of clients) socket.close();
});

test('eight MiB go through an exec’s stdin and stdout with bounded buffers', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const client = await Client.open(container.bundle);
  client.socket.sendFields(Frame.EXEC, 1, all, container.execPlan(['guest', 'cat']));
  await client.came(Frame.OK);
  const block = Buffer.alloc(64 << 10, 'block\n');
  for (let index = 0; index < 128; index += 1) client.socket.send(Frame.STDIN, 1, block);
  client.socket.send(Frame.STDIN_END, 1);
  await client.came(Frame.EXIT);
  t.is(client.output(), block.toString().repeat(128));
  client.socket.close();
});

test('an exec whose client does not read waits, and another one does not', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const slow = connect(join(container.bundle, 'shim.sock'));
  await once(slow, 'connect');
  slow.pause();
  slow.write(encodeFrame(Frame.HELLO, 0, encodeFields([1])));
  slow.write(
    encodeFrame(Frame.EXEC, 1, encodeFields([ExecFlag.STDOUT, container.execPlan(['guest', 'lines', '3000000'])])),
  );
  await sleep(500);
  const { supervisorPid } = container.report();
  const memory = Number(/VmRSS:\s+(\d+)/.exec(await readFile(room.proc(supervisorPid, 'status'), 'utf8'))?.[1]);
  t.true(memory < 2048, `${memory} KiB`);
  t.is((await container.exec(['guest', 'echo', 'quick'])).stdout.toString(), 'quick\n');
  slow.destroy();
});

test('an exec whose client does not read holds up nobody at the end of its container, and the client misses nothing', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const client = await Client.open(container.bundle);
  const { socket } = client;
  socket.sendFields(Frame.EXEC, 1, ExecFlag.STDOUT, container.execPlan(['guest', 'lines', '3000000']));
  const pid = new FieldReader((await client.came(Frame.OK)).payload).number();
  socket.pause();
  const written = async () => Number(/wchar: (\d+)/.exec(await readFile(room.proc(pid, 'io'), 'utf8'))?.[1]);
  const all = await until('it can write no more', async () => {
    const before = await written();
    await sleep(50);
    return before > 0 && before === (await written()) && before;
  });
  await container.with(async (supervisor) => {
    const end = supervisor.wait();
    await supervisor.kill(9, 'all');
    await end;
  });
  socket.resume();
  await client.came(Frame.EXIT);
  t.is(client.output().length, all);
  socket.close();
});

test('an exec gets a terminal of its container’s devpts, and it can be resized', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const client = await Client.open(container.bundle);
  const plan = container.execPlan(['guest', 'resize'], { terminal: true });
  client.socket.sendFields(Frame.EXEC, 1, ExecFlag.TTY | all, plan);
  await until('the exec waits for a new size', () => client.output() === 'ready\r\n');
  client.socket.sendFields(Frame.RESIZE, 1, 40, 120);
  await client.came(Frame.EXIT);
  t.is(client.output(), 'ready\r\nterminal 40 120 other\r\n');
  client.socket.close();
});

test('with stdin once the first client’s end is the end of stdin, else the next one goes on', async (t) => {
  await using room = await Room.make();
  for (const stdinOnce of [true, false]) {
    const container = await room.start(['guest', 'cat'], { stdin: true, stdinOnce });
    const client = await Client.open(container.bundle);
    client.socket.sendFields(Frame.ATTACH, 1, all);
    client.socket.send(Frame.STDIN, 1, Buffer.from('first\n'));
    await until('the echo', () => client.output() === 'first\n');
    client.socket.close();
    if (stdinOnce) {
      t.is((await container.ended()).code, 0);
      t.deepEqual(await container.lines(), ['stdout F first']);
      continue;
    }
    const next = await Client.open(container.bundle);
    next.socket.sendFields(Frame.ATTACH, 1, all);
    next.socket.send(Frame.STDIN, 1, Buffer.from('second\n'));
    await until('the echo', () => next.output() === 'second\n');
    next.socket.close();
    t.is((await container.with((supervisor) => supervisor.state())).state, 'running');
  }
});

test('a container with a terminal has it as its console', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'terminal'], { process: { terminal: true } });
  t.is((await container.ended()).code, 0);
  t.deepEqual(await container.lines(), ['stdout F terminal 0 0 console\r']);
});

test('a client that speaks first in another way is cut off, and the container does not mind', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const header = Buffer.alloc(12, 0xff);
  const noHello = Buffer.alloc(12);
  noHello.writeUInt16LE(Frame.STATE, 4);
  for (const bytes of [header, noHello, Buffer.from('GET / HTTP/1.1\r\n\r\n')]) {
    const socket = connect(join(container.bundle, 'shim.sock'));
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.on('error', () => undefined);
    socket.resume();
    socket.write(bytes);
    await closed;
  }
  t.is((await container.with((supervisor) => supervisor.state())).state, 'running');
});

test('an update may only write files of cgroups', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait'], { memory: 32 << 20 });
  const file = `${container.cgroups.find((path) => path.includes('/memory/'))}/memory.limit_in_bytes`;
  const plan = new Plan();
  plan.add('CGROUP_WRITE', file, String(48 << 20), 0);
  await container.with((supervisor) => supervisor.update(plan.encode()));
  t.is((await readFile(file, 'utf8')).trim(), String(48 << 20));
  const other = new Plan();
  other.add('SET_PID_NS', '/proc/self/ns/pid');
  await t.throwsAsync(
    container.with((supervisor) => supervisor.update(other.encode())),
    { message: /update/ },
  );
});

test('a container, its log and its exit record do not need the agent', async (t) => {
  const room = await Room.make();
  try {
    const container = await room.start(['guest', 'tick', '1500']);
    await room.agent[Symbol.asyncDispose]();
    await until('the exit record', async () => (await readdir(container.bundle)).includes('exit'), 110);
    t.is((await container.lines()).length, 1500);
    container.forget();
  } finally {
    await room[Symbol.asyncDispose]();
  }
});

test('the socket is for root alone, and a second supervisor of a bundle is refused', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  t.is((await stat(join(container.bundle, 'shim.sock'))).mode & 0o777, 0o600);
  const error = await t.throwsAsync(room.agent.supervise(container.bundle));
  t.regex(error.message, /lock \(another process holds it\) .*EAGAIN/);
  t.is((await container.with((supervisor) => supervisor.state())).state, 'running');
});

const isLocked = (path: string): Promise<boolean> =>
  run('flock', ['-n', path, 'true']).then(
    () => false,
    () => true,
  );

test('the lock is held before the supervisor executes, and afterwards by nobody but it', async (t) => {
  await using room = await Room.make();
  const container = await room.container(['guest', 'wait']);
  const lock = join(container.bundle, 'lock');
  // What joins a "cgroup" whose file is a pipe without a reader stands still just before its exec.
  const pipe = join(room.directory, 'pipe');
  await run('mkfifo', [pipe]);
  const started = container.start({ cgroupProcs: [pipe] });
  await until('the lock file', () =>
    access(lock).then(
      () => true,
      () => false,
    ),
  );
  await until('the lock is held', () => isLocked(lock));
  t.is(await readFile(pipe, 'utf8'), '0');
  const { supervisorPid, pid } = await started;
  t.is(await readFile(lock, 'utf8'), `${supervisorPid}\n`);
  const target = (path: string) => readlink(path).catch(() => 'closed meanwhile');
  const open = async (process: number): Promise<string[]> =>
    Promise.all((await readdir(room.proc(process, 'fd'))).map((fd) => target(room.proc(process, `fd/${fd}`))));
  t.is((await open(supervisorPid)).filter((path) => path === lock).length, 1);
  t.false((await open(pid)).includes(lock));
  t.true(await isLocked(lock));
});

test('a supervisor that is started by hand takes the lock itself', async (t) => {
  await using room = await Room.make();
  const container = await room.container(['guest', 'echo', 'by hand']);
  const { status, stderr } = await room.world.run('unshare', [
    '-nm',
    await shimProgram(),
    'supervise',
    container.bundle,
  ]);
  t.is(status, 0, stderr);
  t.is((await container.ended()).code, 0);
  t.deepEqual(await container.lines(), ['stdout F by hand']);
  t.regex(await readFile(join(container.bundle, 'lock'), 'utf8'), /^\d+\n$/);
});

test('a plan that is cut off is refused before anything is made', async (t) => {
  await using room = await Room.make();
  const container = await room.container(['guest', 'echo']);
  const plan = await readFile(join(container.bundle, 'plan'));
  await writeFile(join(container.bundle, 'plan'), plan.subarray(0, -3));
  await t.throwsAsync(container.start(), { message: /read plan/ });
  t.deepEqual(await room.cgroupsLeft(), []);
});
