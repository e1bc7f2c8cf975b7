import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { Log } from '../log.ts';
import { ServiceManager } from './service-manager.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} } as Log;

const well = async (): Promise<string | undefined> => undefined;

const managed = (env: Record<string, string>, problem = well, counts = () => '2 pods') => {
  const sent: string[] = [];
  const stop = new AbortController();
  const manager = new ServiceManager({
    notify: async (text) => void sent.push(text),
    log: quiet,
    env,
    problem,
    counts,
    signal: stop.signal,
  });
  return { manager, sent, stop };
};

const socket = { NOTIFY_SOCKET: '/run/systemd/notify' };
const quick = { ...socket, WATCHDOG_USEC: '60000', WATCHDOG_PID: `${process.pid}` };

test('nothing is sent without NOTIFY_SOCKET', async (t) => {
  const { manager, sent } = managed({ WATCHDOG_USEC: '30000' });
  await manager.ready();
  await manager.reloading();
  await manager.stopping();
  await sleep(50);
  t.deepEqual(sent, []);
});

test('the watchdog is fed only after a check that went well', async (t) => {
  let isWell = true;
  let checks = 0;
  const { manager, sent, stop } = managed(quick, async () => {
    checks += 1;
    return isWell ? undefined : 'no answer';
  });
  await manager.ready();
  while (checks < 3) await sleep(5);
  t.true(sent.filter((text) => text === 'WATCHDOG=1').length >= 2);
  isWell = false;
  await sleep(30);
  const fed = sent.length;
  const before = checks;
  while (checks < before + 3) await sleep(5);
  t.is(sent.length, fed);
  stop.abort();
});

test('a check that hangs feeds no watchdog, and no second one is begun beside it', async (t) => {
  let checks = 0;
  const { manager, sent, stop } = managed(quick, () => {
    checks += 1;
    return new Promise(() => {});
  });
  await manager.ready();
  await sleep(150);
  t.is(checks, 1);
  t.deepEqual(sent, ['READY=1\nSTATUS=2 pods']);
  stop.abort();
});

test("another process's watchdog is not fed", async (t) => {
  for (const env of [{ WATCHDOG_PID: '1' }, { WATCHDOG_USEC: 'soon' }, { WATCHDOG_USEC: '0' }]) {
    const { manager, sent, stop } = managed({ ...quick, ...env });
    await manager.ready();
    await sleep(60);
    t.deepEqual(sent, ['READY=1\nSTATUS=2 pods']);
    stop.abort();
  }
});

test('the status is told again only when it has changed', async (t) => {
  let pods = 2;
  const { manager, sent, stop } = managed(quick, well, () => `${pods} pods`);
  const fed = async (times: number): Promise<void> => {
    const before = sent.filter((text) => text === 'WATCHDOG=1').length;
    while (sent.filter((text) => text === 'WATCHDOG=1').length < before + times) await sleep(5);
  };
  await manager.ready();
  await fed(2);
  pods = 3;
  await fed(3);
  stop.abort();
  t.is(sent.filter((text) => text.includes('STATUS=3 pods')).length, 1);
  t.is(sent.filter((text) => text.includes('STATUS=2 pods')).length, 1);
});

test('a recovery asks for more time only while it gets on', async (t) => {
  const { manager, sent } = managed(socket);
  const end = new AbortController();
  let done = 1;
  const told = manager.recovering(() => ({ done, total: 50 }), end.signal);
  const heard = async (count: number): Promise<void> => {
    for (let look = 0; look < 2000 && sent.length < count; look += 1) await sleep(10);
  };
  await heard(1);
  await sleep(1300);
  t.is(sent.length, 1);
  done = 3;
  await heard(2);
  end.abort();
  await told;
  t.deepEqual(sent, [
    'STATUS=recovering 1/50\nEXTEND_TIMEOUT_USEC=60000000',
    'STATUS=recovering 3/50\nEXTEND_TIMEOUT_USEC=60000000',
  ]);
});

test('a reload says when it began on the clock that systemd compares with', async (t) => {
  const { manager, sent } = managed(socket);
  const before = process.hrtime.bigint() / 1000n;
  await manager.reloading();
  await manager.reloaded();
  const begun = BigInt(/MONOTONIC_USEC=(\d+)/.exec(sent[0] ?? '')?.[1] ?? 0);
  t.true(begun >= before && begun <= process.hrtime.bigint() / 1000n);
  t.is(sent[1], 'READY=1\nSTATUS=2 pods');
});
