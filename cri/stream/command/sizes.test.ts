import test from 'ava';
import { Sizes } from './sizes.ts';

const read = (...pieces: readonly string[]) => {
  const sizes = new Sizes();
  return pieces.flatMap((piece) => sizes.push(Buffer.from(piece))).map(({ columns, rows }) => `${columns}x${rows}`);
};
const two = '{"Width":80,"Height":24}\n{"Width":132,"Height":43}\n';

test('sizes are read wherever their bytes are cut', (t) => {
  for (let at = 0; at <= two.length; at += 1) t.deepEqual(read(two.slice(0, at), two.slice(at)), ['80x24', '132x43']);
  t.deepEqual(read(...two), ['80x24', '132x43']);
});

test('names are read as Go reads them, and a size of nothing is none', (t) => {
  t.deepEqual(read('{"width":1,"HEIGHT":2}{"Width":0,"Height":24}{"Width":65535,"Height":65535}'), [
    '1x2',
    '65535x65535',
  ]);
});

test('after what is no size nothing is read', (t) => {
  for (const wrong of [
    '{"Width":65536,"Height":1}',
    '{"Width":-1,"Height":1}',
    '{"Width":1.5,"Height":1}',
    '{"Width":"80","Height":1}',
    '{"Width":1}',
    '[]}',
    '{}',
    'null}',
    '{'.repeat(2000),
  ])
    t.deepEqual(read(two, wrong, two), ['80x24', '132x43'], wrong);
});
