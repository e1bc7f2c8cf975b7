import { readdirSync, readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { connect } from '../../api/client.ts';
import type { ContainerEventResponse } from '../../api/generated/types.ts';
import type { TestDaemon } from './daemon.ts';
import { idle, runPod } from './pods.ts';
import { suiteDaemon } from './suite.ts';
import { until } from './until.ts';

/** Longer than any test. */
const longestMs = 3_600_000;

/** A client that reads the events as they come. */
class Subscriber implements AsyncDisposable {
  readonly events: ContainerEventResponse[] = [];
  readonly #gone = new AbortController();
  readonly #ended: Promise<unknown>;

  private constructor(daemon: TestDaemon) {
    this.#ended = this.#read(daemon).catch((error: unknown) => error);
  }

  /** Resolves when it is listening: calls of one connection are taken in order. */
  static async start(daemon: TestDaemon): Promise<Subscriber> {
    const subscriber = new Subscriber(daemon);
    await daemon.client.Version({});
    return subscriber;
  }

  async #read(daemon: TestDaemon): Promise<void> {
    const settings = { signal: this.#gone.signal, timeoutMs: longestMs };
    for await (const event of daemon.client.GetContainerEvents({}, settings)) this.events.push(event);
  }

  /** What was told of an object, without its prefix and suffix. */
  of(id: string): string[] {
    const found = this.events.filter(({ container_id }) => container_id === id);
    return found.map(({ container_event_type: type }) => type.replace(/^CONTAINER_(.*)_EVENT$/, '$1'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gone.abort();
    await this.#ended;
  }
}

const told = (subscriber: Subscriber, id: string, last: string): Promise<boolean> =>
  until(`${last} of ${id}`, async () => subscriber.of(id).at(-1) === last);

const inOrder = (t: ExecutionContext, { events }: Subscriber): void => {
  const times = events.map(({ created_at }) => created_at);
  t.deepEqual(
    times,
    times.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
  );
  t.true((times[0] ?? 0n) > 0n);
};

interface Crowd {
  readonly subscribers: number;
  readonly visits: number;
  readonly containers: number;
}

const atOnce = 10;
/** What is kept of memory that was in use once. Subscribers that were not forgotten would be several times as much. */
const slackKib = 40 << 10;

const descriptors = ({ world, pid }: TestDaemon): number => readdirSync(world.seen(`/proc/${pid}/fd`)).length;

/** Resident memory in KiB. */
const memoryOf = ({ world, pid }: TestDaemon): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(world.seen(`/proc/${pid}/status`), 'utf8'))?.[1]);

/** A few at once: each is listening when it goes. */
const comeAndGo = async (daemon: TestDaemon, visits: number): Promise<void> => {
  let left = visits;
  const visitor = async (): Promise<void> => {
    using client = connect(daemon.address);
    for (; left > 0; left -= 1) {
      const gone = new AbortController();
      const listening = client.GetContainerEvents({}, { signal: gone.signal })[Symbol.asyncIterator]().next();
      await client.Version({});
      gone.abort();
      await listening.catch(() => undefined);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, visitor));
};

/** Many who stay and many who come and go: everyone who stays gets the same, and nothing is kept of those who went. */
export const crowdTest = async (t: ExecutionContext, daemon: TestDaemon, crowd: Crowd): Promise<void> => {
  const pod = await runPod(daemon);
  await comeAndGo(daemon, atOnce);
  await using stack = new AsyncDisposableStack();
  const subscribers = await Promise.all(
    Array.from({ length: crowd.subscribers }, async () => stack.use(await Subscriber.start(daemon))),
  );
  const ids: string[] = [];
  const makeSome = async (): Promise<void> => {
    for (let i = 0; i < crowd.containers; i += 1) {
      const container = await pod.create('true');
      await container.remove();
      ids.push(container.id);
    }
    for (const subscriber of subscribers) await told(subscriber, ids.at(-1) ?? '', 'DELETED');
  };
  // The first time the heap grows to what so many at once take; the second time it must not.
  await Promise.all([comeAndGo(daemon, crowd.visits), makeSome()]);
  const before = descriptors(daemon);
  const memory = memoryOf(daemon);
  await Promise.all([comeAndGo(daemon, crowd.visits), makeSome()]);
  for (const { events } of subscribers)
    t.deepEqual(
      events.map(({ container_id, container_event_type: type }) => [container_id, type]),
      ids.flatMap((id) => [
        [id, 'CONTAINER_CREATED_EVENT'],
        [id, 'CONTAINER_DELETED_EVENT'],
      ]),
    );
  await until('their descriptors are closed', () => descriptors(daemon) <= before);
  const grown = memoryOf(daemon) - memory;
  t.true(grown < slackKib, `the daemon has grown by ${grown} KiB`);
};

/** GetContainerEvents; the same claims on cgroup v1 and v2. */
export const eventsTests = (): void => {
  const daemon = suiteDaemon();

  test('a pod and its containers are told as they come and go, each time with the pod as it is then, its newest container first', async (t) => {
    await using subscriber = await Subscriber.start(daemon());
    const pod = await runPod(daemon());
    const container = await pod.create('exit 3');
    await container.start();
    await container.exited();
    await told(subscriber, container.id, 'STOPPED');
    const again = await pod.create('true');
    await again.remove();
    await container.remove();
    await pod.stop();
    await pod.remove();
    await told(subscriber, pod.id, 'DELETED');
    t.deepEqual(subscriber.of(pod.id), ['CREATED', 'STARTED', 'STOPPED', 'DELETED']);
    t.deepEqual(subscriber.of(container.id), ['CREATED', 'STARTED', 'STOPPED', 'DELETED']);
    inOrder(t, subscriber);
    const stages = subscriber.events.map(({ pod_sandbox_status: status, containers_statuses: containers }) => [
      status?.id === pod.id && status.metadata?.uid === pod.config.metadata?.uid && status.state,
      containers.map(({ state, exit_code }) => `${state} ${exit_code}`).join(),
    ]);
    t.deepEqual(stages, [
      ['SANDBOX_READY', ''],
      ['SANDBOX_READY', ''],
      ['SANDBOX_READY', 'CONTAINER_CREATED 0'],
      ['SANDBOX_READY', 'CONTAINER_RUNNING 0'],
      ['SANDBOX_READY', 'CONTAINER_EXITED 3'],
      ['SANDBOX_READY', 'CONTAINER_CREATED 0,CONTAINER_EXITED 3'],
      ['SANDBOX_READY', 'CONTAINER_EXITED 3'],
      ['SANDBOX_READY', ''],
      ['SANDBOX_NOTREADY', ''],
      ['SANDBOX_NOTREADY', ''],
    ]);
  });

  test('a container that could not start, and those of a pod that is removed, are told as well', async (t) => {
    await using subscriber = await Subscriber.start(daemon());
    const pod = await runPod(daemon());
    const wrong = await pod.create(['/not/there']);
    await t.throwsAsync(wrong.start());
    const running = await pod.run(idle);
    await daemon().client.RemovePodSandbox({ pod_sandbox_id: pod.id });
    await told(subscriber, pod.id, 'DELETED');
    t.deepEqual(subscriber.of(wrong.id), ['CREATED', 'STOPPED', 'DELETED']);
    t.deepEqual(subscriber.of(running.id), ['CREATED', 'STARTED', 'STOPPED', 'DELETED']);
    t.is(subscriber.events.at(-1)?.container_id, pod.id);
  });

  test('many subscribers get the same, and one that does not read, or goes, changes nothing for the others', async (t) => {
    const lazy = daemon().client.GetContainerEvents({})[Symbol.asyncIterator]();
    const first = lazy.next();
    await using one = await Subscriber.start(daemon());
    await using two = await Subscriber.start(daemon());
    const gone = await Subscriber.start(daemon());
    const pod = await runPod(daemon());
    await gone[Symbol.asyncDispose]();
    const container = await pod.run('true');
    for (const subscriber of [one, two]) await told(subscriber, container.id, 'STOPPED');
    t.deepEqual(one.events, two.events);
    t.is((await first).value?.container_id, pod.id);
    t.true(gone.events.length <= 2);
    await lazy.return?.(undefined);
  });

  test('a hundred subscribers get the same, and two hundred that come and go leave no descriptor and miss nothing', async (t) => {
    await crowdTest(t, daemon(), { subscribers: 100, visits: 200, containers: 1 });
  });

  test('the end of the daemon ends the stream with an error', async (t) => {
    const error = (async () => {
      for await (const _ of daemon().client.GetContainerEvents({}));
      return 'no error';
    })().catch((reason: { code?: string }) => reason.code);
    await daemon().client.Version({});
    t.is(await daemon().stop(), 0);
    t.is(await error, 'unavailable');
  });
};
