import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { BerthError } from '../../base/errors.ts';
import { execSync } from '../../shim/exec.ts';
import { openAttach, openExec, type ProcessStreams, type WantedStreams } from '../../shim/streams.ts';
import { leavesNothing } from '../harness/leaves-nothing.ts';
import { until } from '../harness/until.ts';
import { type Container, Room } from './room.ts';

leavesNothing();

const piped: WantedStreams = { tty: false, stdin: true, stdout: true, stderr: true };
const terminal: WantedStreams = { tty: true, stdin: true, stdout: true, stderr: false };

const exec = (container: Container, args: readonly string[], wanted: Partial<WantedStreams> = {}) => {
  const all = { ...piped, ...wanted };
  return openExec(container.bundle, container.execPlan(args, { terminal: all.tty }), all);
};

const outputOf = ({ stdout }: ProcessStreams): Readable => stdout ?? t0();
const inputOf = ({ stdin }: ProcessStreams): Writable => stdin ?? t0();
const t0 = (): never => {
  throw new Error('the stream is missing');
};

/** What was read until it holds the text. */
const readUntil = async (stream: Readable, text: string): Promise<string> => {
  let all = '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    all += chunk;
    if (all.includes(text)) return all;
  }
  throw new Error(`the stream ended without ${JSON.stringify(text)}: ${JSON.stringify(all)}`);
};

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('8 MiB through an exec’s stdin come out of its stdout as they were, and its end follows that of stdin', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const streams = await exec(container, ['guest', 'cat']);
  const bytes = randomBytes(8 << 20);
  inputOf(streams).end(bytes);
  t.is(sha(await buffer(outputOf(streams))), sha(bytes));
  t.deepEqual(await streams.ended, { code: 0, signal: 0 });
});

test('a process that does not read its stdin makes the writer wait, not the supervisor grow', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const streams = await exec(container, ['guest', 'sleep', '600']);
  const stdin = inputOf(streams);
  let written = 0;
  while (written < 64 << 20 && stdin.write(Buffer.alloc(1 << 20))) written += 1 << 20;
  const taken = await Promise.race([once(stdin, 'drain').then(() => true), sleep(300, false)]);
  t.false(taken);
  const memory = await readFile(room.proc(container.report().supervisorPid, 'status'), 'utf8');
  t.true(Number(/RssAnon:\s+(\d+)/.exec(memory)?.[1]) < 1024);
  streams.close();
});

test('output that nobody reads stops the exec, and goes on without a gap', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const streams = await exec(container, ['guest', 'lines', '400000'], { stdin: false });
  await sleep(300);
  const memory = await readFile(room.proc(container.report().supervisorPid, 'status'), 'utf8');
  t.true(Number(/RssAnon:\s+(\d+)/.exec(memory)?.[1]) < 1024);
  const lines = (await buffer(outputOf(streams))).toString().trimEnd().split('\n');
  t.is(lines.length, 400_000);
  t.deepEqual(await streams.ended, { code: 0, signal: 0 });
});

test('a terminal’s output is all stdout, and a resize is seen inside at once', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const streams = await exec(container, ['guest', 'resize'], terminal);
  await readUntil(outputOf(streams), 'ready');
  streams.resize({ rows: 33, columns: 101 });
  t.regex(await readUntil(outputOf(streams), '33 101'), /terminal 33 101/);
  streams.close();
});

test('a size that is given before any input is there when the first input is read, in each of many execs and attaches', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  for (let turn = 1; turn <= 30; turn += 1) {
    const streams = await exec(container, ['guest', 'first'], terminal);
    streams.resize({ rows: 1, columns: 1 });
    streams.resize({ rows: turn, columns: 101 });
    inputOf(streams).write('x\n');
    t.regex(await readUntil(outputOf(streams), 'terminal'), new RegExp(`terminal ${turn} 101 `));
    await streams.ended;
  }
});

test('a resize is seen at once while the terminal’s input is stuck', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const streams = await exec(container, ['guest', 'resize'], terminal);
  await readUntil(outputOf(streams), 'ready');
  while (inputOf(streams).write(Buffer.alloc(64 << 10, 'x\n')));
  streams.resize({ rows: 33, columns: 101 });
  t.regex(await readUntil(outputOf(streams), '33 101'), /terminal 33 101/);
  streams.close();
});

test('an exec that comes while the container is ending is told so', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const plan = container.execPlan(['guest', 'cat']);
  const { supervisorPid } = container.report();
  // the container's end waits behind a stopped supervisor, the requests reach it first
  await room.signal(supervisorPid, 'STOP');
  const asked = [exec(container, ['guest', 'cat']), execSync(container.bundle, plan)].map((call) =>
    call.then(
      () => undefined,
      (error: unknown) => error,
    ),
  );
  await room.signal(container.report().pid, 'KILL');
  await room.signal(supervisorPid, 'CONT');
  for (const error of await Promise.all(asked)) {
    t.true(error instanceof BerthError);
    if (error instanceof BerthError) t.is(error.code, 'failed-precondition', error.message);
  }
});

test('closing an exec’s streams kills it with what it started', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const streams = await exec(container, ['guest', 'family']);
  const directory = container.cgroups.find((path) => path.includes('/pids/')) ?? '';
  const count = async () => (await readFile(`${directory}/cgroup.procs`, 'utf8')).split('\n').length - 1;
  await until('the family is there', async () => (await count()) > 2);
  streams.close();
  await until('only the main process is left', async () => (await count()) === 1);
  t.is((await t.throwsAsync(streams.ended)).message, 'closed');
});

test('an exec whose program is missing rejects with its name and leaves no process', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const error = await t.throwsAsync(exec(container, ['nothing']));
  t.is(error.message, 'exec: exec nothing (looked for in PATH): ENOENT: no such file or directory');
});

test('two attached clients both get the output from then on, and one of them may feed stdin', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'cat'], { stdin: true });
  const attach = (wanted: Partial<WantedStreams>) => openAttach(container.bundle, { ...piped, ...wanted });
  const [reader, writer] = [await attach({ stdin: false }), await attach({})];
  inputOf(writer).write('hello\n');
  t.is(await readUntil(outputOf(reader), '\n'), 'hello\n');
  t.is(await readUntil(outputOf(writer), '\n'), 'hello\n');
  writer.close();
  await sleep(50);
  const late = await attach({});
  inputOf(late).write('again\n');
  t.is(await readUntil(outputOf(late), '\n'), 'again\n');
  t.is(await readUntil(outputOf(reader), '\n'), 'again\n');
  await container.with((supervisor) => supervisor.kill(9, 'main'));
  t.deepEqual(await late.ended, { code: 137, signal: 9 });
  t.deepEqual(await container.lines(), ['stdout F hello', 'stdout F again']);
});

test('with stdin_once the end of the first client’s stdin is the end of the container’s', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'cat'], { stdin: true, stdinOnce: true });
  const streams = await openAttach(container.bundle, piped);
  inputOf(streams).end('last\n');
  t.is((await buffer(outputOf(streams))).toString(), 'last\n');
  t.deepEqual(await streams.ended, { code: 0, signal: 0 });
  t.is((await container.ended()).code, 0);
});

test('an attached client that does not read holds up neither the container nor its log', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'cat'], { stdin: true, stdinOnce: true });
  const idle = await openAttach(container.bundle, { ...piped, stdin: false });
  const writer = await openAttach(container.bundle, { ...piped, stdout: false, stderr: false });
  inputOf(writer).end('x'.repeat(99).concat('\n').repeat(100_000));
  await writer.ended;
  t.is((await container.lines()).length, 100_000);
  idle.close();
});

test('an abort ends what it was given to', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const abort = new AbortController();
  const streams = await exec(container, ['guest', 'sleep', '600'], { signal: abort.signal });
  abort.abort();
  await t.throwsAsync(streams.ended);
  await until('the supervisor has the connection no more', async () => {
    const pid = container.report().supervisorPid;
    return (await readdir(room.proc(pid, 'fd'))).length < 12;
  });
});
