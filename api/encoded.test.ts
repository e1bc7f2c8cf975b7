import test from 'ava';
import { pagesOf } from './encoded.ts';

const sizes = async (items: readonly number[]): Promise<number[]> => {
  const pages: number[] = [];
  for await (const { bytes } of pagesOf(items.map((size) => new Uint8Array(size)))) pages.push(bytes.length);
  return pages;
};

test('pages hold 256 KiB at most, in order; an item that is larger has one alone, and nothing gives no page', async (t) => {
  const k = 1024;
  t.deepEqual(await sizes([]), []);
  t.deepEqual(await sizes([1, 2, 3]), [6]);
  t.deepEqual(await sizes([128 * k, 128 * k, 1]), [256 * k, 1]);
  t.deepEqual(await sizes([10, 300 * k, 10, 10]), [10, 300 * k, 20]);
});
