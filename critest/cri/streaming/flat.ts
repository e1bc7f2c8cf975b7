import { readFile } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import type { TestDaemon } from '../../harness/daemon.ts';
import { idle, runPod, type TestContainer } from '../../harness/pods.ts';
import { until } from '../../harness/until.ts';
import { outcome, type SpdyCommand, spdyCommand, type Wanted, WebSocketClient } from './command.ts';
import type { Dial } from './spdy-client.ts';

/** What V8 lets gather before it looks for what is free; far less than a stream carries. */
const slackKb = 100 << 10;

const rssKb = async ({ world, pid }: TestDaemon): Promise<number> =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(world.seen(`/proc/${pid}/status`), 'utf8'))?.[1]);

const urlOf = async (daemon: TestDaemon, container: TestContainer, command: string, wanted: Wanted): Promise<string> =>
  (await daemon.client.Exec({ container_id: container.id, cmd: ['sh', '-c', command], ...wanted })).url;

/** The most that it has until `done`. */
const highestKb = async (daemon: TestDaemon, done: Promise<unknown>): Promise<number> => {
  let highest = 0;
  let over = false;
  const end = done.finally(() => {
    over = true;
  });
  while (!over) {
    highest = Math.max(highest, await rssKb(daemon));
    await sleep(20);
  }
  await end;
  return highest;
};

/** Output of so many bytes through an exec, to a client that takes what comes. */
export const staysFlat = async (t: ExecutionContext, daemon: TestDaemon, dial: Dial, bytes: number): Promise<void> => {
  const container = await (await runPod(daemon)).run(idle);
  const exec = async (size: number): Promise<SpdyCommand> =>
    spdyCommand(await urlOf(daemon, container, `yes | head -c ${size}`, { stdout: true }), { stdout: true }, { dial });
  await outcome(await exec(8 << 20));
  const before = await rssKb(daemon);
  const command = await exec(bytes);
  let received = 0;
  command.stdout?.on('data', (piece: Buffer) => {
    received += piece.length;
  });
  const highest = await highestKb(
    daemon,
    command.stdout === undefined ? Promise.resolve() : finished(command.stdout, { writable: false }),
  );
  t.log(`${Math.round(bytes / 2 ** 20)} MiB: the daemon had ${before} kB, then at most ${highest} kB`);
  t.is(received, bytes);
  t.true(highest - before < slackKb, `${before} kB before, ${highest} kB at most`);
  command.client.close();
};

interface Stuck {
  readonly name: string;
  close(): void;
}

const stuckSpdy = async (url: string, wanted: Wanted, dial: Dial, name: string): Promise<Stuck> => {
  const { client, stdin } = await spdyCommand(url, wanted, { dial });
  client.socket.pause();
  const feed = (): void => {
    while (stdin?.write(Buffer.alloc(64 << 10)) === true);
  };
  stdin?.on('drain', feed);
  feed();
  return { name, close: () => client.socket.destroy() };
};

const stuckWebSocket = async (url: string, stdin: boolean, dial: Dial, name: string): Promise<Stuck> => {
  const client = new WebSocketClient(url, ['v5.channel.k8s.io'], dial);
  await client.opened;
  client.socket.pause();
  for (let sent = 0; stdin && sent < 256; sent += 1) client.send(0, Buffer.alloc(64 << 10));
  return { name, close: () => client.socket.terminate() };
};

/** Clients that do not read, one that reads a byte a second, and input that nobody reads: others do not feel them. */
export const stuckHurtNobody = async (t: ExecutionContext, daemon: TestDaemon, dial: Dial): Promise<void> => {
  const container = await (await runPod(daemon)).run(idle);
  const url = (command: string, wanted: Wanted): Promise<string> => urlOf(daemon, container, command, wanted);
  const [output, both] = [{ stdout: true }, { stdin: true, stdout: true }];
  const roundTrip = async (): Promise<string> => {
    const command = await spdyCommand(await url('cat', both), both, { dial });
    command.stdin?.end('through');
    return (await outcome(command)).stdout;
  };
  await roundTrip();
  const before = await rssKb(daemon);
  using stack = new DisposableStack();
  const stuck = [
    await stuckSpdy(await url('yes', output), output, dial, 'SPDY that does not read'),
    await stuckWebSocket(await url('yes', output), false, dial, 'WebSocket that does not read'),
    await stuckSpdy(await url('sleep 7777', both), both, dial, 'SPDY stdin'),
    await stuckWebSocket(await url('sleep 7777', both), true, dial, 'WebSocket stdin'),
  ];
  for (const { close } of stuck) stack.defer(close);
  const slow = await spdyCommand(await url('yes', output), output, { dial });
  slow.client.socket.pause();
  stack.defer(() => slow.client.socket.destroy());
  const timer = setInterval(() => slow.client.socket.read(1), 1000);
  stack.defer(() => clearInterval(timer));
  const written = async (): Promise<string> =>
    (await container.exec('cat /proc/[0-9]*/io 2>/dev/null | grep wchar')).stdout;
  await until('nothing moves', async () => {
    const first = await written();
    await sleep(50);
    return sumOf(first) - sumOf(await written()) > -4096;
  });
  for (const _ of [1, 2, 3]) t.is(await roundTrip(), 'through');
  t.is((await daemon.client.ListContainers({})).containers.length, 1);
  const grown = (await rssKb(daemon)) - before;
  t.log(`${stuck.length + 1} stuck sessions: ${grown} kB more`);
  t.true(grown < slackKb, `${grown} kB more with ${stuck.map(({ name }) => name).join(', ')}`);
  stack.dispose();
  await until('their processes are gone', async () => !/yes|7777/.test((await container.exec('ps -o args')).stdout));
};

const sumOf = (text: string): number =>
  [...text.matchAll(/wchar: (\d+)/g)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
