import test from 'ava';
import { deviceUndo, ioWeight, v1BlockIo, v2BlockIo } from '../cgroup/block-io.ts';
import { blockIo, blockIoTexts, devicePaths, updatedBlockIo } from './block-io.ts';

const names = { weight: 'example.com/weight', max: 'example.com/max' };
const found = new Map([['/dev/sda', { major: 8, minor: 0 }]]);
const of = (texts: Readonly<Record<string, string>>) => blockIo(names, blockIoTexts(names, texts), found);
const max = (text: string) => of({ 'example.com/max': text });

test('an annotation counts when the configuration names it, and a container’s before its pod’s', (t) => {
  const none = { weight: '', max: '' };
  t.is(blockIo(none, blockIoTexts(none, { '': '100', 'example.com/weight': '100' }), found), undefined);
  const [container, pod] = [
    { 'example.com/weight': '100' },
    { 'example.com/weight': '200', 'example.com/max': '8:0 rbps=1' },
  ];
  t.deepEqual(blockIoTexts(names, container, pod), { weight: '100', max: '8:0 rbps=1' });
});

test('weights and limits become the OCI spec’s, and the files’ of v1 and v2', (t) => {
  const made = of({
    'example.com/weight': '500',
    'example.com/max': '/dev/sda rbps=1000 wiops=5, 9:1 wbps=7  riops=8',
  });
  t.deepEqual(made, {
    weight: 500,
    throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }],
    throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 5 }],
    throttleWriteBpsDevice: [{ major: 9, minor: 1, rate: 7 }],
    throttleReadIOPSDevice: [{ major: 9, minor: 1, rate: 8 }],
  });
  const lines = (values: ReturnType<typeof v1BlockIo>) => values.map(({ file, value }) => `${file} ${value}`);
  t.deepEqual(lines(v1BlockIo(made)), [
    'blkio.bfq.weight 500',
    'blkio.throttle.read_bps_device 8:0 1000',
    'blkio.throttle.write_bps_device 9:1 7',
    'blkio.throttle.read_iops_device 9:1 8',
    'blkio.throttle.write_iops_device 8:0 5',
  ]);
  t.deepEqual(lines(v2BlockIo(made)), [
    'io.weight 4950',
    'io.bfq.weight 500',
    'io.max 8:0 rbps=1000 wiops=5',
    'io.max 9:1 wbps=7 riops=8',
  ]);
  t.deepEqual([10, 100, 1000].map(ioWeight), [1, 910, 10_000]);
});

test('what is no weight, device or limit is refused by the annotation’s name', (t) => {
  for (const text of ['', '9', '1001', '1e2', '-10', ' 100'])
    t.throws(() => of({ 'example.com/weight': text }), { code: 'invalid-argument', message: /example\.com\/weight/ });
  for (const text of [
    '',
    '8:0',
    '/dev/sdb rbps=1',
    'sda rbps=1',
    '8:0 rbps=0',
    '8:0 rbps=max',
    '8:0 bps=1',
    '8:0 rbps=1,',
    '8:0 rbps=1\nx',
  ])
    t.throws(() => max(text), { code: 'invalid-argument', message: /example\.com\/max/ });
  t.deepEqual(devicePaths({ weight: undefined, max: '/dev/a rbps=1, 8:0 rbps=1,/dev/b wbps=2' }), ['/dev/a', '/dev/b']);
});

test('an update leaves the devices and the weight that it does not name', (t) => {
  const now = of({ 'example.com/weight': '500', 'example.com/max': '8:0 rbps=1, 9:1 rbps=2' });
  const rates = [
    { major: 9, minor: 1, rate: 2 },
    { major: 8, minor: 0, rate: 7 },
  ];
  t.deepEqual(updatedBlockIo(now, max('8:0 rbps=7')), { weight: 500, throttleReadBpsDevice: rates });
  t.is(updatedBlockIo(now, undefined), now);
  t.deepEqual(updatedBlockIo(undefined, max('8:0 rbps=7')), max('8:0 rbps=7'));
});

test('a device’s limits are put back as they were, or taken away', (t) => {
  const before = '8:0 rbps=5 wbps=max riops=max wiops=max\n8:16 rbps=6 wbps=max riops=max wiops=max';
  t.is(deviceUndo('/cg/io.max', '8:16 wbps=1', before), before.split('\n')[1]);
  t.is(deviceUndo('/cg/io.max', '8:1 wbps=1', before), '8:1 rbps=max wbps=max riops=max wiops=max');
  t.is(deviceUndo('/cg/blkio.throttle.read_bps_device', '8:0 1', ''), '8:0 0');
  t.is(deviceUndo('/cg/cpu.max', '5000 10000', 'max 100000'), undefined);
});
