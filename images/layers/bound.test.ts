import test from 'ava';
import type { BerthError } from '../../base/errors.ts';
import { bounded } from './bound.ts';

const mib = 1 << 20;

/** How many MiB come through of `count`. */
const passed = async (count: number, compressed: number, limit: { bytes: number; expansion: number }) => {
  const chunk = Buffer.alloc(mib);
  const source = async function* () {
    for (let i = 0; i < count; i += 1) yield chunk;
  };
  let length = 0;
  try {
    for await (const part of bounded(source(), compressed, limit, 'layer x')) length += part.length;
    return { mibs: length / mib, error: undefined };
  } catch (error) {
    return { mibs: length / mib, error: error as BerthError };
  }
};

test('no more than the absolute limit comes through', async (t) => {
  const { mibs, error } = await passed(5, mib, { bytes: 3 * mib, expansion: 200 });
  t.is(mibs, 3);
  t.is(error?.code, 'resource-exhausted');
  t.regex(error?.message ?? '', /^layer x: unpacks to more than 3145728 bytes; .*max_layer_size/);
});

test('a layer of exactly the limit comes through', async (t) => {
  t.deepEqual(await passed(3, mib, { bytes: 3 * mib, expansion: 1 }), { mibs: 3, error: undefined });
});

test('beyond the first GiB a layer may not expand more than it is allowed', async (t) => {
  const { mibs, error } = await passed(1030, mib, { bytes: 2 ** 40, expansion: 200 });
  t.is(mibs, 1024);
  t.is(error?.code, 'resource-exhausted');
  t.regex(error?.message ?? '', /^layer x: 1048576 bytes unpack to .* decompression bomb; .*max_layer_expansion/);
});

test('a large layer may expand in proportion', async (t) => {
  const { error } = await passed(1030, 6 * mib, { bytes: 2 ** 40, expansion: 200 });
  t.is(error, undefined);
});
