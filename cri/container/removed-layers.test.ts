import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { BerthError } from '../../base/errors.ts';
import type { Agent } from '../../shim/agent.ts';
import type { Log } from '../log.ts';
import { RemovedLayers } from './removed-layers.ts';

type Outcome = Awaited<ReturnType<Agent['run']>>;

const done = { code: 0, signal: 0, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) } as Outcome;

/** An agent whose runs end as the test says, one after the other. */
const setUp = ({ stopping = new AbortController().signal, waitMs = 30 } = {}) => {
  const runs: (PromiseWithResolvers<Outcome> & { readonly paths: readonly string[] })[] = [];
  const warnings: string[] = [];
  const warn = (_fields: object, message: string): void => void warnings.push(message);
  const agent = {
    run: ({ argv }: { readonly argv: readonly string[] }) => {
      const run = { ...Promise.withResolvers<Outcome>(), paths: argv.slice(2) };
      runs.push(run);
      return run.promise;
    },
  } as unknown as Agent;
  const layers = new RemovedLayers(agent, { log: { warn } as unknown as Log, stopping, waitMs, pauseMs: 5 });
  return { layers, runs, warnings };
};

const broken = new BerthError('unavailable', 'the agent has gone');

test('who removes waits for what is soon gone, and is told what soon fails', async (t) => {
  const { layers, runs, warnings } = setUp({ waitMs: 60_000 });
  let isGone = false;
  const removing = layers.remove(['/a']).then(() => {
    isGone = true;
  });
  await sleep(5);
  t.false(isGone);
  runs[0]?.resolve(done);
  await removing;
  const failing = layers.remove(['/b']);
  runs[1]?.reject(broken);
  await t.throwsAsync(failing, { message: 'the agent has gone' });
  await sleep(40);
  t.is(runs.length, 2, 'who was told tries again');
  t.deepEqual(warnings, []);
});

test('what takes long goes on behind, and is tried again until it is gone', async (t) => {
  const { layers, runs, warnings } = setUp();
  await layers.remove(['/a', '/b']);
  t.is(runs.length, 1);
  for (let turn = 0; turn < 3; turn += 1) {
    runs[turn]?.reject(broken);
    for (let look = 0; look < 2000 && runs.length === turn + 1; look += 1) await sleep(5);
  }
  t.deepEqual(
    runs.map(({ paths }) => paths),
    Array.from({ length: 4 }, () => ['/a', '/b']),
  );
  runs[3]?.resolve(done);
  await sleep(50);
  t.deepEqual([runs.length, warnings.length], [4, 3]);
});

test('what is deleted behind is told until it is gone, and not what somebody waits for', async (t) => {
  const { layers, runs } = setUp();
  const failing = layers.remove(['/known']);
  runs[0]?.reject(broken);
  await t.throwsAsync(failing);
  t.deepEqual(layers.behind, [], 'its container is still there');
  await layers.remove(['/a', '/b']);
  t.deepEqual(layers.behind, ['/a', '/b']);
  runs[1]?.reject(broken);
  for (let look = 0; look < 1000 && runs.length === 2; look += 1) await sleep(5);
  t.deepEqual(layers.behind, ['/a', '/b']);
  runs[2]?.resolve(done);
  await sleep(5);
  t.deepEqual(layers.behind, []);
  await layers.remove(['/c']);
  runs[3]?.resolve(done);
  await sleep(5);
  t.deepEqual(layers.behind, []);
});

test('what fails soon and nobody asks for again is tried again, with longer and longer pauses, until it is gone', async (t) => {
  const { layers, runs, warnings } = setUp();
  const removing = layers.removeBehind(['/stray']);
  for (let turn = 0; turn < 3; turn += 1) {
    runs[turn]?.reject(broken);
    for (let look = 0; look < 1000 && runs.length === turn + 1; look += 1) await sleep(5);
  }
  await removing;
  runs[3]?.resolve(done);
  await sleep(60);
  t.deepEqual([runs.length, warnings.length], [4, 3]);
  t.deepEqual(runs[3]?.paths, ['/stray']);
});

test('a daemon that stops tries nothing again', async (t) => {
  const stopping = new AbortController();
  const { layers, runs, warnings } = setUp({ stopping: stopping.signal });
  await layers.remove(['/a']);
  stopping.abort();
  runs[0]?.reject(broken);
  await sleep(30);
  t.deepEqual([runs.length, warnings.length], [1, 0]);
});
