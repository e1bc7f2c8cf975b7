import test from 'ava';
import { parseV1BlockIo, parseV2BlockIo } from './block-io.ts';
import { commonLabels, families } from './families.ts';
import { blockSamples, diskSamples } from './samples.ts';

const disk = { major: '8', minor: '0', readBytes: 4096n, writtenBytes: 8192n, reads: 1n, writes: 2n };

test('v1: bytes and operations of a device come from two files, and totals are no device', (t) => {
  const bytes = '8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n8:0 Async 2\n8:0 Total 12288\n252:3 Read 1\nTotal 12289\n';
  const operations = '8:0 Read 1\n8:0 Write 2\n8:0 Total 3\n252:3 Read 7\nTotal 3\n';
  t.deepEqual(parseV1BlockIo(bytes, operations), [
    disk,
    { major: '252', minor: '3', readBytes: 1n, writtenBytes: 0n, reads: 7n, writes: 0n },
  ]);
  t.deepEqual(parseV1BlockIo('', ''), []);
});

test('v2: a device is a line, and what a line lacks is zero', (t) => {
  const text = '8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n252:3\n7:1 dbytes=5 dios=5\n';
  t.deepEqual(parseV2BlockIo(text), [
    disk,
    { major: '7', minor: '1', readBytes: 0n, writtenBytes: 0n, reads: 0n, writes: 0n },
  ]);
});

test('labels of disks are those that cAdvisor has: the node of the device, Read and Write', (t) => {
  const samples = blockSamples([disk], (device) => (device === '8:0' ? '/dev/sda' : device));
  t.deepEqual(samples.slice(0, 3), [
    ['container_blkio_device_usage_total', 4096n, '/dev/sda', '8', '0', 'Read'],
    ['container_blkio_device_usage_total', 8192n, '/dev/sda', '8', '0', 'Write'],
    ['container_fs_reads_bytes_total', 4096n, '/dev/sda'],
  ]);
  const use = { at: 1n, bytes: 5, inodes: 1 };
  const all = [...samples, ...diskSamples(use, { device: '/dev/sda1', bytes: 9n, inodes: 8n, freeInodes: 7n })];
  const labelsOf = new Map(families.map(({ name, labels }) => [name, labels.length]));
  for (const [name, , ...labels] of all) t.is(labels.length, labelsOf.get(name) ?? 0, name);
  t.deepEqual(all.at(-1), ['container_fs_inodes_free', 7n, '/dev/sda1']);
});

test('no metric is there twice, each says what it is, and no label has the name of a common one', (t) => {
  t.is(new Set(families.map(({ name }) => name)).size, families.length);
  for (const { name, help, labels } of families) {
    t.regex(help, /\.$/, name);
    for (const label of labels) t.false((commonLabels as readonly string[]).includes(label), `${name}: ${label}`);
  }
});
