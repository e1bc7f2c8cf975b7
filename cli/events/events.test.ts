import test from 'ava';
import { dir } from 'tmp-promise';
import { connect } from '../../api/client.ts';
import type { ContainerEventResponse, ContainerStatus, Input, PodSandboxStatus } from '../../api/generated/types.ts';
import type { Handlers } from '../../api/handlers.ts';
import { serve } from '../../api/server.ts';
import { BerthError } from '../../base/errors.ts';
import { filterOf } from './filter.ts';
import { type Following, followEvents } from './follow.ts';
import { eventLine, fromWire, remembering, type ShownEvent } from './shown.ts';

const id = (letter: string): string => letter.repeat(64);
const pod = {
  id: id('a'),
  metadata: { name: 'web', namespace: 'default', uid: 'u-1', attempt: 0 },
  state: 'SANDBOX_READY',
};
const server = {
  id: id('c'),
  metadata: { name: 'server', attempt: 0 },
  state: 'CONTAINER_EXITED',
  exit_code: 137,
  reason: 'OOMKilled',
  image: { image: 'img:1', user_specified_image: '' },
  image_ref: 'sha256:x',
};

const wire = (type: string, of: string, containers: readonly object[] = [server]): ContainerEventResponse =>
  ({
    container_id: of,
    container_event_type: `CONTAINER_${type}_EVENT`,
    created_at: 1_700_000_000_123_000_000n,
    pod_sandbox_status: pod,
    containers_statuses: containers,
  }) as unknown as ContainerEventResponse;

test('an event is a line with its time, kind, short id, name, and how a container ended', (t) => {
  t.is(
    eventLine(fromWire(wire('STOPPED', id('c')))),
    '2023-11-14T22:13:20.123Z  stopped  container  cccccccccccc  default/web/server  exit code 137, OOMKilled\n',
  );
  t.is(
    eventLine(fromWire(wire('CREATED', id('a')))),
    '2023-11-14T22:13:20.123Z  created  pod        aaaaaaaaaaaa  default/web\n',
  );
  t.regex(eventLine(fromWire(wire('CREATED', id('c'), [{ ...server, state: 'CONTAINER_CREATED' }]))), / {2}img:1\n$/);
  t.regex(eventLine(fromWire(wire('DELETED', id('c'), []))), / deleted {2}container {2}c{12} {2}default\/web\n$/);
});

test('names of pods and containers cannot move the cursor', (t) => {
  const named = { ...server, metadata: { name: 'a\u001b[2J\n', attempt: 0 } };
  t.regex(eventLine(fromWire(wire('STARTED', id('c'), [named]))), /default\/web\/a\?\[2J\?/);
});

test('a container that is no more is told by the name that it had', (t) => {
  const remembered = remembering();
  t.is(remembered(fromWire(wire('DELETED', id('c'), []))).container, undefined);
  remembered(fromWire(wire('STOPPED', id('c'))));
  t.is(remembered(fromWire(wire('DELETED', id('c'), []))).container?.name, 'server');
  t.is(remembered(fromWire(wire('DELETED', id('c'), []))).container, undefined, 'forgotten');
});

test('filters: one of those with a key has to fit, and that for each key', (t) => {
  const all = [
    fromWire(wire('STOPPED', id('c'))),
    fromWire(wire('CREATED', id('a'))),
    fromWire(wire('STARTED', id('c'))),
  ];
  const left = (...words: string[]): readonly string[] =>
    all.filter(filterOf(words)).map(({ type, kind }) => `${type} ${kind}`);
  t.is(left().length, 3);
  t.deepEqual(left('type=stopped', 'type=created'), ['stopped container', 'created pod']);
  t.deepEqual(left('kind=container', 'type=started'), ['started container']);
  t.deepEqual(left('container=web/server'), left('container=ccc'));
  t.is(left('pod=default/web').length, 3);
  t.is(left('pod=aaaa', 'namespace=other').length, 0);
  for (const word of ['pod', 'pod=', 'image=x', 'type=x', '__proto__=x'])
    t.throws(() => filterOf([word]), { name: 'UsageError', message: /^--filter: / }, word);
});

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

interface Heard {
  readonly events: ShownEvent[];
  readonly notices: string[];
}

const start = (address: string, handlers: Handlers) => serve(handlers, { address, log: quiet, ready: () => true });

type Server = Awaited<ReturnType<typeof start>>;

/** Follows until `act` has ended, against a server that `act` may end and start again at its address. */
const follow = async (
  given: Partial<Following>,
  handlers: Handlers | undefined,
  act: (heard: Heard, first: Server | undefined, address: string) => Promise<void>,
): Promise<Heard> => {
  const { path, cleanup } = await dir({ prefix: 'berth-events-', unsafeCleanup: true });
  const address = `unix://${path}/b.sock`;
  const heard: Heard = { events: [], notices: [] };
  const gone = new AbortController();
  const first = handlers && (await start(address, handlers));
  using client = connect(address);
  const following = {
    client,
    signal: gone.signal,
    state: false,
    show: (event: ShownEvent) => void heard.events.push(event),
    notice: (text: string) => void heard.notices.push(text),
    ...given,
  };
  try {
    const acted = act(heard, first, address).finally(() => gone.abort());
    await followEvents(following);
    await acted;
    return heard;
  } finally {
    await first?.close(50);
    await cleanup();
  }
};

const answers = (one: Input<ContainerEventResponse>): Handlers => ({
  Version: async () => ({ version: '0.1.0' }),
  GetContainerEvents: async function* (_request, { signal }) {
    yield one;
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  },
  ListPodSandbox: async () => ({ items: [{ id: pod.id }, { id: id('b') }] }),
  PodSandboxStatus: async ({ pod_sandbox_id }) => {
    if (pod_sandbox_id !== pod.id) throw new BerthError('not-found', 'it has just gone');
    return {
      status: pod as Input<PodSandboxStatus>,
      containers_statuses: [server as Input<ContainerStatus>],
    };
  },
});

const until = async (what: string, check: () => boolean): Promise<void> => {
  for (let tries = 0; tries < 3000; tries += 1) {
    if (check()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`never seen: ${what}`);
};

test('a daemon that goes is told of once and waited for, and its next one is followed', async (t) => {
  const heard = await follow({ state: true }, answers(wire('STARTED', id('c'))), async (told, first, address) => {
    const { events, notices } = told;
    await until('the first event', () => events.length === 3);
    await first?.close(50);
    await until('the notice', () => notices.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 700));
    const second = await start(address, answers(wire('STOPPED', id('c'))));
    await until('the second event', () => events.length === 6);
    await second.close(50);
  });
  t.deepEqual(
    heard.events.map(({ type, kind }) => `${type} ${kind}`),
    ['state pod', 'state container', 'started container', 'state pod', 'state container', 'stopped container'],
  );
  t.is(heard.events[1]?.container?.exitCode, 137);
  t.regex(heard.notices[0] ?? '', /^no events any more: .*; trying again$/);
  t.is(heard.notices[1], 'connected again');
});

test('a daemon that was never there is an error at once, and so is one that knows no events', async (t) => {
  const never = (): Promise<void> => new Promise(() => undefined);
  await t.throwsAsync(follow({}, undefined, never), { code: 'unavailable' });
  await t.throwsAsync(follow({}, { Version: async () => ({}) }, never), { code: 'unimplemented' });
});
