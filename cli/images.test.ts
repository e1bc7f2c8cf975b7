import test from 'ava';
import type { ImageLayer, InspectResponse } from '../api/generated/types.ts';
import { toPlainJson } from './json.ts';
import { historyTable } from './verbs/history.ts';
import { inspectJson } from './verbs/inspect.ts';

const layers: ImageLayer[] = ['1', '2'].map((digit) => ({
  diff_id: '',
  digest: `sha256:${digit.repeat(64)}`,
  size: BigInt(`${digit}000`),
  media_type: '',
  kept: true,
}));
const answer = (config: string): InspectResponse => ({
  image_id: 'sha256:0',
  names: [],
  manifest_digest: '',
  size: 9007199254740993n,
  pinned: false,
  layers,
  manifest: Buffer.from(''),
  config: Buffer.from(config),
  artifact_type: '',
});
const cells = (config: unknown): string[][] =>
  historyTable(answer(JSON.stringify(config)), false)
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((row) => row.split(/ {2,}/));

test('a history that fits the layers stands beside them, newest first', (t) => {
  const history = [{ created_by: 'one' }, { created_by: 'no layer', empty_layer: true }, { comment: 'two\u001b[2J' }];
  t.deepEqual(cells({ history }), [
    ['222222222222', '-', '2.0 KiB', 'two?[2J'],
    ['-', '-', '0 B', 'no layer'],
    ['111111111111', '-', '1000 B', 'one'],
  ]);
});

test('a history that does not fit, or is none, tells nothing about the layers', (t) => {
  const alone = [
    ['222222222222', '-', '2.0 KiB'],
    ['111111111111', '-', '1000 B'],
  ];
  for (const history of [undefined, [], 'x', [null], [{ created_by: 'a' }], Array(3).fill({ created_by: 'a' })])
    t.deepEqual(cells({ history }), alone);
  t.deepEqual(historyTable(answer('not json'), false).split('\n').length, 4);
});

test('numbers beyond 2^53 and bytes are text in JSON, and a document that is no JSON is null', (t) => {
  t.deepEqual(toPlainJson({ a: 5n, b: [2n ** 60n], c: Buffer.from('x') }), {
    a: 5,
    b: ['1152921504606846976'],
    c: 'eA==',
  });
  t.like(JSON.parse(inspectJson(answer('not json'))), { config: null, manifest: null, size: '9007199254740993' });
});
