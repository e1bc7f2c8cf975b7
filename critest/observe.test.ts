import { readFile, rename } from 'node:fs/promises';
import test from 'ava';
import { page, parseExposition, Scrape } from './harness/exposition.ts';
import { confDirectory } from './harness/network.ts';
import { idle, runPod } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({
  config: { metrics: { stuck_seconds: 1 }, network: { embedded_subnet: 'none' } },
  ignore: /addresses: bt0 inet6/, // the bridge is made anew by one test
});
const scrape = (): Promise<Scrape> => Scrape.of(daemon());
/** How much a series has grown since. */
const growth = async (before: Scrape, name: string, labels = ''): Promise<number> =>
  (await scrape()).value(name, labels) - before.value(name, labels);

test('pods, containers and images are counted by their state', async (t) => {
  const pods = await Promise.all([runPod(daemon()), runPod(daemon()), runPod(daemon())]);
  const [one, , stopped] = pods;
  await one?.create('true');
  await one?.run(idle);
  const [first, second] = await Promise.all([one?.run('true'), one?.run('exit 3')]);
  await Promise.all([first?.exited(), second?.exited()]);
  await stopped?.stop();
  const now = await scrape();
  t.deepEqual(now.byLabel('berth_pods'), { creating: 0, ready: 2, stopping: 0, stopped: 1 });
  t.deepEqual(now.byLabel('berth_containers'), { created: 1, running: 1, exited: 2 });
  t.deepEqual(now.byLabel('berth_images'), { used: 1, unused: 0, unnamed: 0 });
});

test('each call is counted once, by its method and how it ended', async (t) => {
  const before = await scrape();
  await daemon().client.ListContainers({});
  await t.throwsAsync(daemon().client.ContainerStatus({ container_id: 'nobody' }));
  const count = 'berth_rpc_duration_seconds_count';
  t.is(await growth(before, count, 'code="ok",method="ListContainers"'), 1);
  t.is(await growth(before, count, 'code="not-found",method="ContainerStatus"'), 1);
  t.is(await growth(before, count, 'code="ok",method="ContainerStatus"'), 0);
});

test('a call that has not ended is in flight, and a subscriber is one', async (t) => {
  const stop = new AbortController();
  const events = daemon().client.GetContainerEvents({}, { signal: stop.signal })[Symbol.asyncIterator]();
  const next = events.next().catch(() => undefined);
  await daemon().client.Version({});
  const during = await scrape();
  t.is(during.value('berth_rpc_in_flight', 'method="GetContainerEvents"'), 1);
  t.is(during.value('berth_event_subscribers'), 1);
  const age = during.value('berth_rpc_oldest_seconds', 'method="GetContainerEvents"');
  t.true(age > 0 && age < 10, `${age}`);
  stop.abort();
  await next;
  const ended = async () => (await scrape()).value('berth_rpc_in_flight', 'method="GetContainerEvents"') === 0;
  t.true(await until('the call has ended', ended));
});

test('a container that the kernel killed for its memory is counted once, and no other', async (t) => {
  const before = await scrape();
  const pod = await runPod(daemon());
  await pod.output('exit 137');
  t.is(await growth(before, 'berth_oom_kills_total'), 0);
  const resources = { memory_limit_in_bytes: 16 << 20 };
  const { status } = await pod.output(['eat', '200'], { linux: { resources } });
  t.is(status.reason, 'OOMKilled');
  t.is(await growth(before, 'berth_oom_kills_total'), 1);
});

test('calls of plugins are counted by command and by how they ended', async (t) => {
  const before = await scrape();
  await (await runPod(daemon())).remove();
  const count = 'berth_cni_duration_seconds_count';
  const labels = (code: string, command: string): string => `code="${code}",command="${command}",plugin="bridge"`;
  t.is(await growth(before, count, labels('ok', 'ADD')), 1);
  t.is(await growth(before, count, labels('ok', 'DEL')), 1);
  await daemon().world.sh('ip link del bt0 && ip link add bt0 type veth peer name bt9');
  await t.throwsAsync(runPod(daemon()), { message: /cni bridge ADD of .+ is not a bridge/ });
  await daemon().world.sh('ip link del bt0');
  t.is(await growth(before, count, labels('internal', 'ADD')), 1);
  await runPod(daemon());
  t.is(await growth(before, count, labels('ok', 'ADD')), 2);
});

test('a supervisor that dies is counted', async (t) => {
  const before = await scrape();
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  for (const pid of await daemon().pidsOf('berth-shim')) await daemon().world.sh(`kill -9 ${pid}`);
  t.is((await container.exited()).message, 'supervisor died');
  t.is(await growth(before, 'berth_supervisor_deaths_total'), 1);
});

test('a step that hangs is counted as stuck by its stage, told once in the log, and told again when it ends', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  const [supervisor = 0] = await daemon().pidsOf('berth-shim');
  await daemon().world.sh(`kill -STOP ${supervisor}`);
  const begun = performance.now();
  const call = daemon().client.ReopenContainerLog({ container_id: container.id });
  const count = async (): Promise<number> =>
    (await scrape()).value('berth_stuck_work', 'stage="supervisor reopen log"');
  const early = await count();
  if (performance.now() - begun < 1000) t.is(early, 0);
  t.true(await until('the step is stuck', async () => (await count()) === 1));
  const { stuck, metrics } = await daemon().client.Info({});
  t.deepEqual(
    stuck.map(({ stage, object }) => [stage, object.endsWith(container.id)]),
    [['supervisor reopen log', true]],
  );
  t.is(metrics, `unix://${daemon().world.path('state/http.sock')}`);
  const lines = async (words: string): Promise<string[]> =>
    (await readFile(daemon().world.path('log.txt'), 'utf8')).split('\n').filter((line) => line.includes(words));
  await until('the log tells it', async () => (await lines('work is stuck: supervisor reopen log')).length > 0);
  await daemon().world.sh(`kill -CONT ${supervisor}`);
  await call;
  t.is(await count(), 0);
  await until(
    'the log tells its end',
    async () => (await lines('work was stuck and has ended: supervisor reopen log')).length > 0,
  );
  const told = await lines('work is stuck: supervisor reopen log');
  t.is(told.length, 1);
  t.true(told[0]?.includes(`containers/${container.id}`));
});

test('readiness fails with its reason while there is no network or the agent hangs, and comes back', async (t) => {
  const ready = await page(daemon(), '/readyz');
  t.deepEqual([ready.status, ready.body], [200, 'ok\n']);
  const file = `${confDirectory(daemon().world)}/10-test.conflist`;
  const network = (status: number) =>
    until(`readiness ${status}`, async () => {
      const answer = await page(daemon(), '/readyz');
      return answer.status === status && answer.body;
    });
  await rename(file, `${file}.away`);
  t.regex(
    await network(503),
    /^\[\+\]daemon ok\n\[\+\]agent ok\n\[-\]network failed: .+\n\[\+\]state ok\n\[\+\]root ok\nreadyz check failed\n$/,
  );
  t.is((await scrape()).value('berth_ready', 'check="network"'), 0);
  await rename(`${file}.away`, file);
  t.is(await network(200), 'ok\n');
  const [agent = 0] = await daemon().pidsOf('berth-agent');
  await daemon().world.sh(`kill -STOP ${agent}`);
  t.regex((await page(daemon(), '/readyz')).body, /^\[-\]agent failed: spawn agent: no answer in \d+ ms$/m);
  await daemon().world.sh(`kill -CONT ${agent}`);
  const agentIsOk = async () => /^\[\+\]agent ok$/m.test((await page(daemon(), '/readyz?verbose')).body);
  t.true(await until('the agent answers', agentIsOk));
});

test('health fails while the daemon cannot be reached over its own socket, and comes back', async (t) => {
  const socket = daemon().world.path('b.sock');
  const health = () => page(daemon(), '/healthz');
  t.is((await health()).body, 'ok\n');
  await rename(socket, `${socket}.away`);
  const sick = await health();
  await rename(`${socket}.away`, socket);
  t.is(sick.status, 503);
  t.regex(sick.body, /^\[-\]self failed: Version over .+: connect ENOENT .+\nhealthz check failed\n$/);
  t.is((await health()).status, 200);
});

test('an agent that is killed is counted as restarted', async (t) => {
  const before = await scrape();
  const [agent = 0] = await daemon().pidsOf('berth-agent');
  await daemon().world.sh(`kill -9 ${agent}`);
  t.true(await until('there is another', async () => (await growth(before, 'berth_agent_restarts_total')) === 1));
  t.is((await page(daemon(), '/readyz')).status, 200);
});

test('what cannot be read is refused: other pages, other methods', async (t) => {
  t.is((await page(daemon(), '/')).status, 404);
  t.is((await page(daemon(), '/metrics', 'POST')).status, 405);
  const head = await page(daemon(), '/metrics', 'HEAD');
  t.deepEqual([head.status, head.body], [200, '']);
});

test('a daemon that stops is not ready and says so, while it waits for a call', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const root = `/proc/${await container.pid()}/root`;
  const call = container.exec('until [ -e /go ]; do usleep 20000; done; echo done');
  await until(
    'the call is there',
    async () => (await scrape()).value('berth_rpc_in_flight', 'method="ExecSync"') === 1,
  );
  const stopped = daemon().stop();
  const told = async () => (await page(daemon(), '/readyz').catch(() => undefined))?.body ?? '';
  const body = await until('the daemon tells it', async () => /\[-\]daemon/.test(await told()) && told());
  t.regex(body, /^\[-\]daemon failed: berthd is stopping$/m);
  await daemon().world.sh(`touch ${root}/go`);
  t.is((await call).stdout, 'done\n');
  t.is(await stopped, 0);
});

test('the parser of this test refuses what Prometheus does', (t) => {
  const wrong = [
    '# HELP a b\n# TYPE a gauge\na 1',
    '# HELP a b\n# TYPE a gauge\na{b=1} 1\n',
    '# HELP a b\n# TYPE a gauge\na 1\na 1\n',
    '# HELP a b\n# TYPE a counter\na 1\n',
    '# HELP a b\n# TYPE a gauge\nc 1\n',
    '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
    'a 1\n',
  ];
  for (const text of wrong) t.throws(() => parseExposition(text), undefined, text);
});
