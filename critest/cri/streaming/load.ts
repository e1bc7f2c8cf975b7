import { once } from 'node:events';
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { ExecutionContext } from 'ava';
import type { TestDaemon } from '../../harness/daemon.ts';
import { idle, runPod, type TestContainer } from '../../harness/pods.ts';
import { until } from '../../harness/until.ts';
import { Inspector } from './inspector.ts';
import type { Dial } from './spdy-client.ts';
import { spdyCommandBytes, spdyForwardBytes, webSocketCommandBytes } from './transcript.ts';
import { echoIn } from './world.ts';

const atOnce = 16;
const input = Buffer.from(`${'input '.repeat(16)}\n`);
const outputs = { stdin: true, stdout: true, stderr: true };

/** What a session sends, and what it hears when it has worked. */
interface Session {
  readonly url: URL;
  readonly bytes: Buffer;
  readonly answer: string;
}

/** Sends all and leaves when the answer has come, or is cut off behind a byte of its own. */
const play = async ({ url, bytes, answer }: Session, dial: Dial, cutAt: number | undefined): Promise<void> => {
  const socket = dial(url);
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  let heard = '';
  socket.on('data', (chunk: Buffer) => {
    heard = (heard + chunk.toString('latin1')).slice(-4096);
    if (heard.includes(answer)) socket.destroy();
  });
  if (cutAt === undefined) socket.write(bytes);
  else socket.write(bytes.subarray(0, cutAt), () => socket.destroy());
  await closed;
  if (cutAt !== undefined && cutAt < bytes.indexOf('\r\n\r\n') + 4) await spend(url, dial);
  if (cutAt === undefined && !heard.includes(answer)) throw new Error(`a session ended with ${heard}`);
};

/** Uses the token of a request that was cut: a thousand that wait for their client are the most that there may be. */
const spend = async (url: URL, dial: Dial): Promise<void> => {
  const socket = dial(url);
  socket.on('error', () => undefined);
  socket.write(`GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`);
  await once(
    socket.resume().once('end', () => socket.destroy()),
    'close',
  );
};

const run = async (
  count: number,
  make: (index: number) => Promise<Session>,
  dial: Dial,
  random: () => number,
): Promise<void> => {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      const session = await make(next);
      const cut = random() < 0.5 ? Math.floor(random() * session.bytes.length) : undefined;
      await play(session, dial, cut);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
};

/**
 * Without the files that the daemon keeps open for each container that it samples, from the first sampling to its end; none of a
 * process that has gone since it was listed.
 */
export const descriptorsOf = async (directory: string): Promise<number> => {
  const targets = await Promise.all(
    (await readdir(directory).catch(() => [])).map((name) => readlink(`${directory}/${name}`).catch(() => '')),
  );
  return targets.filter((target) => !target.startsWith('/sys/fs/cgroup/')).length;
};

/** What a daemon holds on its machine. Two that are the same have the same text. */
const held = async (daemon: TestDaemon): Promise<string> => {
  const { world } = daemon;
  const seen = (path: string): string => world.seen(path);
  const names = ['berth-agent', 'berth-shim', 'berth-init'];
  const pids = [daemon.pid, ...(await Promise.all(names.map((name) => daemon.pidsOf(name)))).flat()];
  const descriptors = await Promise.all(
    pids.map(async (pid) => `${pid}: ${await descriptorsOf(seen(`/proc/${pid}/fd`))}`),
  );
  const processes = (await world.sh('ps -e -o comm= | grep -vcE "^(ps|sh|grep|sleep)$"')).trim();
  // TIME-WAIT is the kernel's own
  const tcp = (await world.sh(`cat /proc/${daemon.pid}/net/tcp /proc/${daemon.pid}/net/tcp6`))
    .split('\n')
    .filter((line) => /^ *\d+:/.test(line) && line.trim().split(/\s+/)[3] !== '06');
  return `descriptors ${descriptors.join(', ')}; processes ${processes}; TCP sockets ${tcp.length}`;
};

const supervisorKb = async (daemon: TestDaemon): Promise<number> => {
  const pids = [...(await daemon.pidsOf('berth-shim')), ...(await daemon.pidsOf('berth-agent'))];
  const sizes = await Promise.all(
    pids.map(async (pid) =>
      Number(/RssAnon:\s+(\d+)/.exec(await readFile(daemon.world.seen(`/proc/${pid}/status`), 'utf8'))?.[1]),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
};

/** Both containers of a pod: one that execs go into, one that speaks, for attaches. */
const kinds = (daemon: TestDaemon, still: TestContainer, speaking: TestContainer, pod: string) => {
  const command =
    (method: 'Exec' | 'Attach') =>
    async (index: number): Promise<Session> => {
      const { url } =
        method === 'Exec'
          ? await daemon.client.Exec({ container_id: still.id, cmd: ['cat'], ...outputs })
          : await daemon.client.Attach({ container_id: speaking.id, ...outputs });
      const target = new URL(url);
      const bytes = index % 2 === 0 ? spdyCommandBytes(target, input) : webSocketCommandBytes(target, input);
      return { url: target, bytes, answer: method === 'Exec' ? '"status":"Success"' : 'tick\n' };
    };
  const forward = async (index: number): Promise<Session> => {
    const { url } = await daemon.client.PortForward({ pod_sandbox_id: pod, port: [81] });
    const target = new URL(url);
    return { url: target, bytes: spdyForwardBytes(target, 81 + (index % 2), input), answer: 'from ' };
  };
  return { execs: command('Exec'), attaches: command('Attach'), forwards: forward };
};

/** Sessions of one kind, half of them cut: afterwards all is as it was. */
export const leavesNothing = async (
  t: ExecutionContext,
  daemon: TestDaemon,
  dial: Dial,
  kind: 'execs' | 'attaches' | 'forwards',
  count: number,
  random: () => number,
): Promise<void> => {
  const pod = await runPod(daemon);
  const still = await pod.run(idle);
  const speaking = await pod.run('while :; do echo tick; sleep 0.01; done', { stdin: true });
  await using _ = await echoIn(daemon, still, [81, 82]);
  const make = kinds(daemon, still, speaking, pod.id)[kind];
  using inspector = await Inspector.open(daemon, dial);
  // its request for the list of targets ends behind its answer
  const start = await until('a calm moment', async () => {
    const first = await held(daemon);
    return first === (await held(daemon)) && first === (await held(daemon)) && first;
  });
  await run(Math.min(100, count), make, dial, random);
  let before = '';
  await until('what was held before any session', async () => {
    before = await held(daemon);
    return before === start;
  }).catch(() => undefined);
  t.is(before, start);
  const [heap, kb] = [await inspector.heap(), await supervisorKb(daemon)];
  await run(count, make, dial, random);
  let after = '';
  const same = async (): Promise<boolean> => {
    after = await held(daemon);
    return after === before;
  };
  await until('what was held before', same).catch(() => undefined);
  t.is(after, before);
  const [grown, kbGrown] = [(await inspector.heap()) - heap, (await supervisorKb(daemon)) - kb];
  t.log(
    `${count} ${kind}: heap ${(grown / 1024).toFixed(0)} KiB more, supervisors and agent ${kbGrown} KiB more; ${after}`,
  );
  t.true(grown < 2 << 20, `the daemon's heap has ${grown} bytes more after ${count} ${kind}`);
  t.true(kbGrown < 256, `supervisors and agent have ${kbGrown} KiB more after ${count} ${kind}`);
};
