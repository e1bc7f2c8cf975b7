import { readFile } from 'node:fs/promises';
import test from 'ava';

const evidence = (name: string): Promise<string> => readFile(`/job/shutdown/${name}`, 'utf8');

/** What a container wrote, with the machine's uptime in seconds: "term 12.31". */
const timesOf = (log: string, word: string): readonly number[] =>
  [...log.matchAll(new RegExp(`stdout F ${word} ([\\d.]+)`, 'g'))].map(([, time]) => Number(time));

test('a shutdown ends a container of either driver by its stop signal, once, and waits until it is through', async (t) => {
  for (const driver of ['p1', 'p3']) {
    const log = await evidence(`logs/${driver}.log`);
    t.is(timesOf(log, 'term').length, 1);
    const [term = 0] = timesOf(log, 'term');
    const [bye = 0] = timesOf(log, 'bye');
    t.true(bye >= term + 2, `${term} … ${bye}`);
  }
});

test('a container that does not end is killed when its grace period is over, not before and not a minute later', async (t) => {
  const log = await evidence('logs/p2.log');
  const [term = 0] = timesOf(log, 'term');
  const last = timesOf(log, 'alive').at(-1) ?? 0;
  t.true(last > term + 1.5, `${term} … ${last}`);
  t.true(last < term + 30, `${term} … ${last}`);
});

test('the shutdown says how many pods it ended', async (t) => {
  t.is((await evidence('stop.log')).trim(), '3 pods, 3 containers ended');
});

test('the machine is off soon after: systemd finds no process that it has to wait a minute and a half for', async (t) => {
  const seconds = Number(await evidence('ended')) - Number(await evidence('begun'));
  t.true(seconds > 0 && seconds < 60, `${seconds} s`);
});
