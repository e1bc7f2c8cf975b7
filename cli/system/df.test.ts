import test from 'ava';
import type { DiskFileSystem, DiskShare } from '../../api/generated/types.ts';
import { duration } from '../arguments.ts';
import { diskBar, imagesTable, sharesTable } from './df.ts';

const share = (kind: DiskShare['kind'], bytes: bigint): DiskShare => ({ kind, bytes, count: 1n, inodes: 2n });
const system = (uses: string[]): DiskFileSystem => ({
  path: '/',
  capacity_bytes: 1000n,
  free_bytes: 500n,
  available_bytes: 400n,
  inodes: 0n,
  free_inodes: 0n,
  uses,
});
const shares = [share('SHARED_LAYERS', 200n), share('BLOBS', 100n), share('WRITABLE', 1n), share('LOGS', 300n)];

test('the bar has a letter a kind, others and what is free, and what is tiny still shows', (t) => {
  t.is(diskBar(system(['images', 'containers']), shares, 20), '[LLLLBBW####.........]');
});

test('on two file systems each bar has its own kinds', (t) => {
  t.is(diskBar(system(['images']), shares, 10), '[LLB##.....]');
  t.is(diskBar(system(['containers']), shares, 10), '[W#####....]');
});

test('what removed containers leave is a line of its own, on the file system of the containers', (t) => {
  const removed = [...shares, share('REMOVED', 100n)];
  t.regex(sharesTable(removed), /^removed containers, being deleted +1 +100 B +2$/m);
  t.is(diskBar(system(['containers']), removed, 10), '[WG####....]');
  t.is(diskBar(system(['images']), removed, 10), '[LLB##.....]');
});

test('a file system without a size has no bar', (t) => {
  t.is(diskBar({ ...system(['images']), capacity_bytes: 0n }, shares), '');
});

test('the table sums all kinds, also those that were not told', (t) => {
  t.regex(sharesTable(shares), /^all +601 B +8$/m);
  t.regex(sharesTable([]), /^volumes of containers +0 +0 B +0$/m);
});

test('an image with many names shows one tag and how many more, an unnamed one its id', (t) => {
  const image = {
    id: `sha256:${'a'.repeat(64)}`,
    pinned: true,
    unique_bytes: 1n,
    shared_bytes: 2n,
    inodes: 3n,
    containers: ['x'],
  };
  const text = imagesTable([
    { ...image, names: ['b@sha256:0123456789abcdef', 'b:2', 'b:1'] },
    { ...image, names: [], pinned: false },
  ]);
  t.regex(text, /^b:2 \(\+2\) +a{12} +1 B +2 B +3 +1 +pinned$/m);
  t.regex(text, /^<none> +a{12} .* 1$/m);
});

test('an age is a number and a unit, or an error that names the option', (t) => {
  t.deepEqual(
    ['90s', '30m', '24h', '7d'].map((text) => duration('--older-than', text)),
    [90, 1800, 86_400, 604_800],
  );
  for (const text of ['7', 'd', '-1d', '1w', '1.5h'])
    t.throws(() => duration('--older-than', text), { message: /^--older-than: wants/ });
});
