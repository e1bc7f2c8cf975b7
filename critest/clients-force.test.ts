import { randomBytes } from 'node:crypto';
import { connect as dial, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { connect } from '../api/client.ts';
import { BerthError } from '../base/errors.ts';
import { seeded } from './harness/fuzz.ts';
import { containerConfig, idle, podConfig, runPod } from './harness/pods.ts';
import { fails, removePods, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';
import { waitedMs } from './harness/waited.ts';

const daemon = suiteDaemon();

/** Milliseconds, without those in which daemon and client waited for a processor. */
const listTime = async (): Promise<number> => {
  const waited = async (): Promise<number> =>
    (await waitedMs('/proc/self')) + (await waitedMs(daemon().world.seen(`/proc/${daemon().pid}`)));
  const before = await waited();
  const began = performance.now();
  await daemon().client.ListContainers({});
  const took = performance.now() - began;
  return took - ((await waited()) - before);
};

/** The longest that a list took while `load` ran: what the event loop's delay is to a caller. */
const slowestList = async (load: () => Promise<unknown>): Promise<number> => {
  let running = true;
  const done = load().finally(() => {
    running = false;
  });
  let slowest = 0;
  while (running) {
    slowest = Math.max(slowest, await listTime());
    await sleep(5);
  }
  await done;
  return slowest;
};

test.serial(
  'a request with 100,000 mounts, labels or strings of a megabyte is answered in words, and lists go on',
  async (t) => {
    const pod = await runPod(daemon());
    const many = Array.from({ length: 100_000 }, (_, i) => i);
    const requests = [
      containerConfig('true', {
        mounts: many.map((i) => ({ container_path: `/m${i}`, host_path: '/etc/hostname' })),
      }),
      containerConfig('true', { labels: Object.fromEntries(many.slice(0, 10_000).map((i) => [`key-${i}`, 'v'])) }),
      containerConfig('true', { working_dir: `/${'x'.repeat(1 << 20)}` }),
      containerConfig(['true', 'x'.repeat(1 << 20)]),
      containerConfig('true', { envs: many.map((i) => ({ key: `K${i}`, value: Buffer.from('v') })) }),
    ];
    const failed: unknown[] = [];
    const load = async (): Promise<void> => {
      for (const config of requests)
        await daemon()
          .client.CreateContainer({ pod_sandbox_id: pod.id, config, sandbox_config: pod.config })
          .then(({ container_id }) => daemon().client.StartContainer({ container_id }))
          .catch((error: unknown) => failed.push(error));
    };
    const slowest = await slowestList(load);
    for (const error of failed)
      t.notRegex(
        error instanceof BerthError ? error.code : String(error),
        /internal|unknown|data-loss/,
        String(error).slice(0, 300),
      );
    t.log(`${slowest} ms`);
    t.true(slowest < 3000, `${slowest} ms`);
    await fails(
      t,
      daemon().client.Version({ version: 'x'.repeat(17 << 20) }),
      'resource-exhausted',
      /larger|exceed|max/i,
    );
  },
);

const dialled = async (path: string): Promise<Socket> => {
  const socket = dial(path);
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  return socket;
};

test.serial(
  'three hundred half-open and garbage connections cost nothing, and are gone with their clients',
  async (t) => {
    const { world } = daemon();
    const files = async (): Promise<number> => Number(await world.sh(`ls /proc/${daemon().pid}/fd | wc -l`));
    const before = await files();
    const sockets = await Promise.all(Array.from({ length: 300 }, () => dialled(world.path('b.sock'))));
    const random = seeded(7);
    for (const [i, socket] of sockets.entries()) {
      if (i % 3 === 0) socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
      if (i % 3 === 1) socket.write(randomBytes(Math.floor(random() * 4000)));
      if (i % 6 === 0) socket.write(Buffer.from('000004080000000000ffffffff', 'hex'));
    }
    t.true((await listTime()) < 1000);
    for (const socket of sockets) socket.destroy();
    await until('the connections are gone', async () => (await files()) <= before + 3);
    t.pass();
  },
);

test.serial('an exec with more arguments, or longer ones, than can be passed on is refused in words', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const exec = (cmd: string[]): Promise<unknown> =>
    daemon().client.ExecSync({ container_id: container.id, cmd, timeout: 20 });
  for (const cmd of [
    ['true', 'x'.repeat(200_000)],
    ['true', 'x'.repeat(5 << 20)],
    ['true', ...Array.from({ length: 100_000 }, () => 'x')],
    ['true', ...Array.from({ length: 60_000 }, () => 'x'.repeat(100))],
    ['x'.repeat(10_000)],
  ]) {
    const error = await t.throwsAsync(exec(cmd), { instanceOf: BerthError });
    t.regex(`${error?.code}: ${error?.message}`, /^(?:invalid-argument|resource-exhausted): .*exec/);
  }
  t.is((await container.exec(['true'])).code, 0);
});

test.serial('calls that are cancelled at any moment leave nothing, and the daemon answers', async (t) => {
  const random = seeded(11);
  const client = connect(daemon().address, { timeoutMs: 60_000 });
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  const one = async (i: number): Promise<void> => {
    const gone = AbortSignal.timeout(Math.floor(random() * 60));
    const config = podConfig(daemon());
    const create = { pod_sandbox_id: pod.id, config: containerConfig('true'), sandbox_config: pod.config };
    const calls = [
      () => client.RunPodSandbox({ config }, { signal: gone }),
      () => client.CreateContainer(create, { signal: gone }),
      () => client.ExecSync({ container_id: container.id, cmd: ['sleep', '0.05'], timeout: 5 }, { signal: gone }),
      () => client.StopPodSandbox({ pod_sandbox_id: 'f'.repeat(64) }, { signal: gone }),
    ];
    await calls[i % calls.length]?.().catch(() => undefined);
  };
  for (let round = 0; round < 8; round += 1) await Promise.all(Array.from({ length: 10 }, (_, i) => one(i)));
  client.close();
  t.is((await container.exec(['true'])).code, 0);
  await until('what was begun has ended', async () => {
    await removePods(daemon());
    await sleep(200);
    return (await daemon().client.ListPodSandbox({})).items.length === 0;
  });
});
