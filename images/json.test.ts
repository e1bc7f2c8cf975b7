import test from 'ava';
import { BerthError } from '../base/errors.ts';
import { parseObject, sizeField, textMapField } from './json.ts';

const parse = (text: string) => parseObject(Buffer.from(text), 'manifest x');
const nested = (depth: number): string => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;

test('what every reader reads alike is read', (t) => {
  for (const text of [
    '{}',
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
    '{"a":"\\"a\\":1,\\"a\\":2","b":"{[","c":"\\\\"}',
    '{"A":1,"a":2}',
    '{"size":0}',
    '{ "size" : 9007199254740991 , "b":1.5,"c":-1,"d":{"size":"1.5"},"e":["size",1.5]}',
    '{"size":[1.5]}'.replace('1.5', '1'),
    nested(64),
  ])
    t.deepEqual(parse(text), JSON.parse(text), text);
});

for (const [text, reason] of [
  ['{"a":1,"a":1}', /"a" twice/],
  ['{"x":[{"digest":"1","size":1,"digest":"2"}]}', /"digest" twice/],
  ['{"ab":1,"a\\u0062":2}', /twice/],
  ['{"__proto__":1,"__proto__":2}', /twice/],
  ['{"":1, "" :2}', /twice/],
  ['{"size":7.0}', /size is not a size: 7.0/],
  ['{"size":7e0}', /size is not a size/],
  ['{"size":1E400}', /size is not a size/],
  ['{"size":-0}', /size is not a size/],
  ['{"size":-7}', /size is not a size/],
  ['{"s\\u0069ze":0.5}', /size is not a size/],
  [nested(65), /nested more than 64/],
  ['['.repeat(4 << 20), /nested more than 64/],
  ['{"a":'.repeat(800_000), /nested more than 64/],
  [`[${'"",'.repeat(300_000)}1]`, /more than 200000 texts/],
  [`{"a":"${'\\"'.repeat(2_000_000)}`, /not JSON/],
  [`{"a":"${'\\"'.repeat(2_000_000)}\\`, /not JSON/],
  [`{"size":${'9'.repeat(4_000_000)}.5}`, /size is not a size: 9{40}$/],
  [' '.repeat(4 << 20), /not JSON/],
  ['{"a":1}{"a":1}', /not JSON/],
  ['{"a":01}', /not JSON/],
  ['{"a":NaN}', /not JSON/],
  ['{"a":1,}', /not JSON/],
  ['\ufeff{}', /not JSON|not a JSON/],
  ['"text"', /not a JSON object/],
  ['null', /not a JSON object/],
  ['', /not JSON/],
] as const)
  test(`${JSON.stringify(text.slice(0, 50))} (${text.length}) is refused: ${reason.source}`, (t) => {
    const error = t.throws(() => parse(text), { instanceOf: BerthError, message: reason });
    t.regex(error?.message ?? '', /^manifest x: /);
  });

test('bytes that are no UTF-8 are refused wherever they stand', (t) => {
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]])
    t.throws(() => parseObject(Buffer.concat([Buffer.from('{"a":"'), Buffer.from(bytes), Buffer.from('"}')]), 'x'), {
      message: /not JSON/,
    });
});

test('a document says nothing by __proto__, constructor or what any object has', (t) => {
  const object = parse('{"__proto__":{"size":5,"b":"c"},"annotations":{"__proto__":"x","constructor":"y"}}');
  t.throws(() => sizeField(object, 'size', 'x'), { message: /size/ });
  t.throws(() => sizeField(object, 'toString', 'x'), { message: /toString/ });
  t.deepEqual(Object.entries(textMapField(object, 'annotations', 'x')), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
  t.is(({} as { size?: number }).size, undefined);
});

test('a size beyond 2^53 is refused, not rounded', (t) => {
  t.is(sizeField(parse('{"size":9007199254740991}'), 'size', 'x'), 2 ** 53 - 1);
  t.throws(() => sizeField(parse('{"size":9007199254740993}'), 'size', 'x'), { message: /not a size/ });
});
