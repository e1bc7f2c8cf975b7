import { mock } from 'node:test';
import test from 'ava';
import { sha256 } from '../../base/digest.ts';
import { PullLog } from './log.ts';

const digest = sha256('layer');

test('a pull is told at its beginning, every ten seconds and at its end, and no more', (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  const lines: unknown[] = [];
  const note = (fields: object, message: string): void => {
    const { seconds: _, ...rest } = fields as { seconds?: number };
    lines.push([message, rest]);
  };
  const served = new Map([['mirror.example', 10]]);
  {
    using log = new PullLog({ debug: note, info: note, warn: note }, 'a/b:1', served);
    for (let offset = 0; offset < 1000; offset += 1) log.note({ digest, offset, total: 2000, phase: 'fetching' });
    mock.timers.tick(9999);
    t.is(lines.length, 1);
    mock.timers.tick(1);
    served.set('registry.example', 5);
    log.done(digest);
  }
  mock.timers.tick(60_000);
  mock.timers.reset();
  t.deepEqual(lines, [
    ['pull begins', { image: 'a/b:1' }],
    ['pull goes on', { image: 'a/b:1', bytes: 10, hosts: { 'mirror.example': 10 }, offset: 999, total: 2000 }],
    [
      'image is pulled',
      { image: 'a/b:1', bytes: 15, hosts: { 'mirror.example': 10, 'registry.example': 5 }, id: digest },
    ],
  ]);
});
