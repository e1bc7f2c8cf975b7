import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import test from 'ava';
import type { TestDaemon } from '../harness/daemon.ts';
import { runPod, type TestContainer, type TestPod } from '../harness/pods.ts';
import { suiteDaemon, warmUp } from '../harness/suite.ts';
import { sourceTree } from '../harness/tree.ts';
import { until } from '../harness/until.ts';
import { type Said, said } from './streaming/said.ts';
import { answering, type Event, echoPort, type RecordedSession, sessions, transports } from './streaming/sessions.ts';
import type { Dial } from './streaming/spdy-client.ts';
import { dialInto, echoIn } from './streaming/world.ts';

let dial: Dial = () => {
  throw new Error('there is no bridge');
};
const setUp = async (started: TestDaemon): Promise<void> => {
  dial = await dialInto(started);
  await warmUp(started);
};
const daemon = suiteDaemon({ setUp });

const urlFor = async ({ kind, cmd, wanted }: RecordedSession, container: TestContainer, pod: TestPod): Promise<URL> => {
  const { client } = daemon();
  const { url } =
    kind === 'exec'
      ? await client.Exec({ container_id: container.id, cmd: [...cmd], ...wanted })
      : kind === 'attach'
        ? await client.Attach({ container_id: container.id, ...wanted })
        : await client.PortForward({ pod_sandbox_id: pod.id });
  return new URL(url);
};

const bytesOf = ({ data = '' }: Event): Buffer => Buffer.from(data, 'base64');
const serverBytes = (events: readonly Event[]): Buffer =>
  Buffer.concat(events.filter(({ from }) => from === 'server').map(bytesOf));

/** The recorded request asks for a token of its time. */
const withToken = (bytes: Buffer, { pathname }: URL): Buffer =>
  Buffer.from(
    bytes.toString('latin1').replace(/^(\S+) (\S+) /, (_, method) => `${method} ${pathname} `),
    'latin1',
  );

/** Whether it is as much, however it was cut into frames. */
const isAsMuch = (heard: Said, told: Said): boolean =>
  heard.answer.length >= told.answer.length &&
  Object.entries(told.streams).every(([id, text]) => (heard.streams[id] ?? '').length >= text.length) &&
  (['replied', 'reset', 'closed'] as const).every((kind) => heard[kind].length >= told[kind].length);

/** Says what the client said: when it said it, and not before it had heard what it had heard then. */
const replay = async (socket: Socket, events: readonly Event[], url: URL, heard: () => Buffer): Promise<void> => {
  const started = performance.now();
  let first = true;
  for (const [at, event] of events.entries()) {
    if (event.from === 'server' || event.data === undefined) continue;
    await sleep(Math.max(0, event.ms - (performance.now() - started)));
    const told = said(serverBytes(events.slice(0, at)));
    await until('the client heard so much', () => isAsMuch(said(heard()), told)).catch(() => undefined);
    socket.write(first ? withToken(bytesOf(event), url) : bytesOf(event));
    first = false;
  }
};

for (const session of sessions)
  for (const transport of transports)
    test(`crictl's ${session.name} over ${transport} is answered as it was when it was recorded`, async (t) => {
      const file = join(sourceTree, 'critest/cri/streaming/recorded', `${session.name}-${transport}.json`);
      const events = JSON.parse(await readFile(file, 'utf8')) as readonly Event[];
      const expected = said(serverBytes(events));
      t.is(expected.answer[0], 'HTTP/1.1 101 Switching Protocols');
      const pod = await runPod(daemon());
      const container = await pod.run(answering, { stdin: true });
      await using _ =
        session.kind === 'portforward' ? await echoIn(daemon(), container, [echoPort, echoPort + 1]) : undefined;
      const url = await urlFor(session, container, pod);
      const socket = dial(url);
      const heard: Buffer[] = [];
      socket.on('data', (bytes: Buffer) => heard.push(bytes)).on('error', () => undefined);
      await replay(socket, events, url, () => Buffer.concat(heard));
      const now = () => {
        const text = JSON.stringify(said(Buffer.concat(heard)))
          .replaceAll(container.id, 'CONTAINER')
          .replaceAll(pod.id, 'POD');
        return JSON.parse(text) as unknown;
      };
      const then = JSON.parse(JSON.stringify(expected).replaceAll(/[0-9a-f]{64}/g, 'CONTAINER')) as unknown;
      await until('the same was said', () => isDeepStrictEqual(now(), then)).catch(() => undefined);
      t.deepEqual(now(), then);
      socket.destroy();
    });
