import test from 'ava';
import { Layers } from './layers.ts';
import { directory, file, symlink, tar } from './tar.ts';

test('a layer whose names lead through a hundred thousand directories each is given up', async (t) => {
  t.timeout(300_000);
  await using layers = await Layers.make();
  const down = 'd/'.repeat(1000);
  const bounce = '../d/'.repeat(400);
  const links = Array.from({ length: 36 }, (_, i) => ({
    ...symlink('l', ''),
    pax: { path: `${down}l${i}`, linkpath: i === 0 ? bounce : `${bounce}${bounce}l${i - 1}` },
  }));
  const top = { ...symlink('top', ''), pax: { linkpath: `${down}l35` } };
  const through = Array.from({ length: 1000 }, (_, i) => file(`top/m${i}/n/f`));
  const stream = tar([directory('x', { pax: { path: down } }), ...links, top, ...through]);
  const { stderr, cpuSeconds } = await layers.unpackStream(stream);
  t.regex(stderr, /^give up, it needs too much processor time: /);
  t.true(cpuSeconds < 10);
});

test('memory for a hundred thousand directories is a few megabytes, and none for as many files', async (t) => {
  t.timeout(300_000);
  await using layers = await Layers.make('/dev/shm');
  const many = (make: (name: string) => ReturnType<typeof file>): Buffer =>
    tar(Array.from({ length: 100_000 }, (_, i) => make(`${i % 300}/${i}`)));
  const directories = await layers.unpackStream(many((name) => directory(name)));
  const files = await layers.unpackStream(many((name) => file(name)));
  t.is(directories.stderr + files.stderr, '');
  t.log(
    `${directories.peakMegabytes} and ${files.peakMegabytes} MB, ${directories.cpuSeconds} and ${files.cpuSeconds} s`,
  );
  t.true(directories.peakMegabytes < 24);
  t.true(files.peakMegabytes < 4);
});
