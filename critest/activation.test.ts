import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { type Client, connect } from '../api/client.ts';
import { messageOf } from '../base/errors.ts';
import { TestDaemon } from './harness/daemon.ts';
import { buildTree, sourceTree } from './harness/tree.ts';
import { until } from './harness/until.ts';
import { systemEnvironment } from './harness/world.ts';

/** Calls Version all the time, as a busy kubelet would; gives what failed when the signal is aborted. */
const calling = async (
  client: Client,
  signal: AbortSignal,
): Promise<{ calls: number; failures: readonly string[] }> => {
  const failures: string[] = [];
  let calls = 0;
  while (!signal.aborted) {
    calls += 1;
    await client.Version({}, { timeoutMs: 30_000 }).catch((error: unknown) => failures.push(messageOf(error)));
  }
  return { calls, failures };
};

test('under a service manager: calls wait while berthd is restarted, and systemd is told how it is', async (t) => {
  await using daemon = await TestDaemon.prepare({ network: 'none' });
  const { world } = daemon;
  const at = (name: string): string => world.path(name);
  const command = [process.execPath, join(buildTree, 'cri/main.js'), '--config', at('config.toml')];
  const manager = world.spawn(join(sourceTree, 'critest/harness/service-manager'), [world.directory, ...command], {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: systemEnvironment,
  });
  const notified = async (): Promise<string> => readFile(at('notified'), 'utf8').catch(() => '');
  const readies = async (): Promise<number> => (await notified()).split('READY=1').length - 1;
  const pid = async (): Promise<string> => (await readFile(at('service.pid'), 'utf8')).trim();
  await until('berthd.sock of the manager', () => stat(at('b.sock')).then(Boolean, () => false));
  using client = connect(daemon.address);
  t.is(
    (await client.Version({}, { timeoutMs: 30_000 })).runtime_name,
    'berth',
    'a call from before the daemon listens',
  );

  const stop = new AbortController();
  const results = Promise.all(Array.from({ length: 4 }, () => calling(client, stop.signal)));
  await until('ready', async () => (await readies()) === 1);
  const first = await pid();
  await world.sh(`kill -TERM ${first}`);
  await until('ready again', async () => (await readies()) === 2, 30);
  t.not(await pid(), first);
  stop.abort();
  for (const { calls, failures } of await results) {
    t.true(calls > 1);
    t.deepEqual(failures, []);
  }

  await world.sh(`kill -KILL ${await pid()}`);
  const second = connect(daemon.address);
  t.is((await second.Version({}, { timeoutMs: 30_000 })).runtime_name, 'berth', 'a call right after kill -9');
  second.close();
  await until(
    'the watchdog is fed',
    async () => (await notified()).split('READY=1')[3]?.includes('WATCHDOG=1') === true,
  );
  const text = await notified();
  t.regex(text, /READY=1\nSTATUS=0 pods, 0 containers\n--/);
  t.regex(text, /STOPPING=1\nSTATUS=stopping; containers run on\n--/);
  t.is((await stat(at('b.sock'))).mode & 0o777, 0o600);

  await world.sh(`rm ${at('b.sock')}; kill -KILL ${await pid()}`);
  const third = connect(daemon.address);
  await until('the next daemon binds what was removed', () =>
    third.Version({}, { timeoutMs: 2000 }).then(Boolean, () => false),
  );
  third.close();
  manager.stdin?.end();
});
