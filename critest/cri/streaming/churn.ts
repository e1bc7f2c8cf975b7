import { readdir, readFile } from 'node:fs/promises';
import type { TestDaemon } from '../../harness/daemon.ts';
import type { TestContainer } from '../../harness/pods.ts';
import { outcome, spdyCommand, WebSocketClient } from './command.ts';
import type { Random } from './fuzz.ts';
import type { Dial } from './spdy-client.ts';

const wanted = { stdin: true, stdout: true, stderr: true };

/** What grows when something is kept: descriptors of the daemon and all of ours, processes of the container, memory in kB. */
export interface Kept {
  readonly descriptors: number;
  readonly processes: number;
  readonly memory: number;
}

export const keptBy = async (daemon: TestDaemon, container: TestContainer): Promise<Kept> => {
  const { world } = daemon;
  const pids = [daemon.pid, ...(await daemon.pidsOf('berth-shim')), ...(await daemon.pidsOf('berth-agent'))];
  const open = await Promise.all(pids.map((pid) => readdir(world.seen(`/proc/${pid}/fd`))));
  const { stdout } = await container.exec('ps -o args');
  const status = await readFile(world.seen(`/proc/${daemon.pid}/status`), 'utf8');
  const processes = stdout.split('\n').filter((line) => /^(cat|sh -c head)/.test(line)).length;
  return { descriptors: open.flat().length, processes, memory: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) };
};

/** So many execs and so many attaches, a few at a time, over both transports; half of the clients are cut at a random byte. */
export const churn = async (
  daemon: TestDaemon,
  container: TestContainer,
  dial: Dial,
  count: number,
  random: Random,
): Promise<void> => {
  const one = async (index: number): Promise<void> => {
    const { client } = daemon;
    const request = { container_id: container.id, ...wanted };
    const { url } = index % 2 === 0 ? await client.Exec({ ...request, cmd: ['cat'] }) : await client.Attach(request);
    const cut = index % 4 < 2;
    if (index % 8 < 4) await overSpdy(url, dial, cut, index % 2 === 0, random);
    else await overWebSocket(url, dial, index % 2 === 0 && !cut);
  };
  for (let done = 0; done < count * 2; done += 8)
    await Promise.all(Array.from({ length: 8 }, (_, index) => one(done + index)));
};

const overSpdy = async (url: string, dial: Dial, cut: boolean, isExec: boolean, random: Random): Promise<void> => {
  const cutting: Dial = (target) => {
    const socket = dial(target);
    if (!cut) return socket;
    // all of a session is some 600 bytes each way
    const [sent, heard] = [random(600), random(600)];
    const write = socket.write.bind(socket) as (bytes: Buffer | string) => boolean;
    let written = 0;
    socket.write = ((bytes: Buffer | string, ...rest: unknown[]) => {
      written += bytes.length;
      if (written > sent) setImmediate(() => socket.destroy());
      const last = rest.at(-1);
      if (typeof last === 'function') setImmediate(last as () => void);
      return write(written > sent ? Buffer.from(bytes).subarray(0, bytes.length - (written - sent)) : bytes);
    }) as typeof socket.write;
    socket.on('data', () => socket.bytesRead > heard && socket.destroy());
    return socket;
  };
  const command = await spdyCommand(url, wanted, { dial: cutting }).catch(() => undefined);
  command?.stdin?.write('some input\n');
  if (isExec && !cut) command?.stdin?.end();
  else command?.client.socket.destroy();
  if (command !== undefined) await outcome(command).catch(() => undefined);
};

const overWebSocket = async (url: string, dial: Dial, whole: boolean): Promise<void> => {
  const client = new WebSocketClient(url, ['v5.channel.k8s.io'], dial);
  await client.opened;
  client.send(0, 'some input\n');
  if (whole) client.end(0);
  else client.socket.terminate();
  await client.closed;
};
