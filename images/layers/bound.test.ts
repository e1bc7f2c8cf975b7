import test from 'ava';
import { mostBytes, tooLarge } from './bound.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;

test('no layer may become more than the absolute limit', (t) => {
  const limit = { bytes: 3 * mib, expansion: 200 };
  t.is(mostBytes(mib, limit), 3 * mib);
  const { code, message } = tooLarge('layer x', mib, limit);
  t.is(code, 'resource-exhausted');
  t.regex(message, /^layer x: unpacks to more than 3145728 bytes; .*max_layer_size/);
});

test('beyond the first GiB a layer may not expand more than it is allowed', (t) => {
  const limit = { bytes: 2 ** 40, expansion: 200 };
  t.is(mostBytes(mib, limit), gib);
  const { code, message } = tooLarge('layer x', mib, limit);
  t.is(code, 'resource-exhausted');
  t.regex(message, /^layer x: 1048576 bytes unpack to .* decompression bomb; .*max_layer_expansion/);
});

test('a large layer may expand in proportion', (t) => {
  t.is(mostBytes(6 * mib, { bytes: 2 ** 40, expansion: 200 }), 1200 * mib);
});

test('a bound is a whole number that C can read, however large the limits are', (t) => {
  t.is(mostBytes(2 ** 40, { bytes: Number.MAX_SAFE_INTEGER, expansion: 2 ** 40 }), Number.MAX_SAFE_INTEGER);
  t.true(Number.isInteger(mostBytes(2 ** 40 + 1, { bytes: 2 ** 50, expansion: 1.7 })));
});
