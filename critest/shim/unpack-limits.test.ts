import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { until } from '../harness/until.ts';
import { Layers, program, run } from './layers.ts';
import { directory, file, hardlink, symlink, type TarEntry, tar } from './tar.ts';

/** Layers of about `count` entries, each with something that could take time by the square. */
const shapes: Readonly<Record<string, (count: number) => Buffer>> = {
  'deep parents, in turn': (n) =>
    tar(Array.from({ length: n }, (_, i) => file('x', '', { pax: { path: `${deep(i % 97)}f${i}` } }))),
  'chains of links': (n) => {
    const hops = Array.from({ length: 30 }, (_, i) => symlink(`l${i}`, i === 0 ? deep(0) : `l${i - 1}`));
    return tar([...hops, ...Array.from({ length: n }, (_, i) => file(`l29/m${i}/f`))]);
  },
  'a tree made and replaced': (n) =>
    tar(
      Array.from({ length: n }, (_, i) => (i % 2 === 0 ? file(`t/${'s/'.repeat(4)}f`) : file('t'))).flatMap((entry) =>
        entry.name === 't' ? [entry, directory('t')] : [entry],
      ),
    ),
  'links to links that are missing': (n) => tar(Array.from({ length: n }, (_, i) => hardlink(`h${i}`, `h${i + 1}`))),
  'whiteouts of what the layer has, in one directory': (n) =>
    tar(Array.from({ length: n }, (_, i) => (i % 2 === 0 ? file(`d/f${i}`) : { name: `d/.wh.f${i - 1}` }))),
  'opaque marks, each in a directory of its own': (n) =>
    tar(Array.from({ length: n }, (_, i) => ({ name: `${i}/.wh..wh..opq` }))),
  'the same name again and again': (n) => tar(Array.from({ length: n }, () => file('f'))),
  'a link and a directory in turn': (n) =>
    tar(Array.from({ length: n }, (_, i) => (i % 2 === 0 ? symlink('d', 'e') : directory('d')))),
  'one file under very many names': (n) =>
    tar([file('a', 'x'), ...Array.from({ length: n }, (_, i) => hardlink(`d/${i}`, 'a'))]),
  'sparse files of many pieces': (n) =>
    tar(
      Array.from({ length: n / 100 }, (_, i) =>
        file(`s${i}`, 'x'.repeat(100), {
          pax: {
            'GNU.sparse.size': '500',
            'GNU.sparse.map': Array.from({ length: 100 }, (_x, k) => `${5 * k},1`).join(),
          },
        }),
      ),
    ),
  'extended attributes': (n) =>
    tar(Array.from({ length: n / 10 }, (_, i) => file(`x${i}`, '', { pax: attributes(10) }))),
};

const deep = (index: number): string => `${index}/${'d/'.repeat(100)}`;
const attributes = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`SCHILY.xattr.user.${i}`, 'x'.repeat(40)]));

for (const [name, shape] of Object.entries(shapes))
  test(`processor time and memory grow with the layer, not with its square: ${name} (GHSA-rp3h-jf77-q9p4)`, async (t) => {
    await using layers = await Layers.make(name === 'extended attributes' ? undefined : '/dev/shm');
    const [first, second] = [await layers.unpackStream(shape(500)), await layers.unpackStream(shape(4000))];
    t.is(first.stderr + second.stderr, '');
    t.log(`${first.cpuSeconds.toFixed(2)} s, eightfold ${second.cpuSeconds.toFixed(2)} s, ${second.peakMegabytes} MB`);
    t.true(second.cpuSeconds < 24 * Math.max(first.cpuSeconds, 0.05));
    t.true(second.peakMegabytes < 16);
  });

const depth = (count: number): string => 'd/'.repeat(count);

test('a fix-up brings a tree of two thousand levels to its place', async (t) => {
  await using layers = await Layers.make('/dev/shm');
  const below = await layers.unpack([directory('x'), symlink('l', 'x')]);
  const layer = await layers.unpack([file('x', 'y', { pax: { path: `l/${depth(1850)}f` } })]);
  const { path, stderr } = await layers.runFix(layer, [below.path]);
  t.is(stderr, '');
  t.true(existsSync(join(path, 'x', depth(1850), 'f')));
});

test('a fix-up does not walk the whole path for each name of it', async (t) => {
  await using layers = await Layers.make('/dev/shm');
  const path = depth(1850);
  const below = await layers.unpack([directory('x', { pax: { path } })]);
  const layer = await layers.unpack([file('x', '', { pax: { path: `${path}f` } })]);
  const { code, stderr, cpuSeconds } = await layers.runFix(layer, [below.path], 4);
  t.log(`${cpuSeconds.toFixed(2)} s`);
  t.is(code, 0, 'it is killed after four seconds of processor time');
  t.is(stderr, '');
});

test('a path so deep that nobody could remove it under a longer root is refused', async (t) => {
  await using layers = await Layers.make('/dev/shm');
  const { code, stderr } = await layers.unpackStream(tar([file('x', '', { pax: { path: `${'d/'.repeat(1950)}f` } })]));
  t.is(code, 1);
  t.regex(stderr, /too long/);
});

test('a layer whose report would grow without bound is refused', async (t) => {
  await using layers = await Layers.make('/dev/shm');
  const wide = Array.from({ length: 10 }, (_, i) => file('x', '', { pax: { path: `${i}/${'d/'.repeat(1850)}f` } }));
  const { code, stderr } = await layers.unpackStream(tar(wide));
  t.is(code, 1);
  t.regex(stderr, /^unpack: too many invented directories: Argument list too long\n$/);
});

/** The unpacker at work on a stream that does not come; `held` gets its child's pid. */
const withHeld = async (layers: Layers, held: (pid: number, parent: number) => Promise<void>): Promise<void> => {
  const to = join(layers.path, 'held');
  const address = join(layers.path, 'silent');
  await mkdir(to);
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    sockets.push(socket);
  });
  await new Promise<void>((resolve) => server.listen(address, resolve));
  const child = spawn(program, ['unpack', '--to', to, '--from', address], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  try {
    const parent = child.pid ?? 0;
    const children = (): string => readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim();
    await until(
      'the child is confined',
      () => children() !== '' && readFileSync(`/proc/${children()}/status`, 'utf8').includes('Seccomp:\t2'),
    );
    await held(Number(children()), parent);
  } finally {
    child.kill('SIGKILL');
    await ended;
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
};

test('before the first byte each thread of the unpacker has the layer as its only file system, six capabilities and a filter', async (t) => {
  await using layers = await Layers.make();
  await withHeld(layers, async (pid) => {
    const threads = readdirSync(`/proc/${pid}/task`);
    t.is(threads.length, 2, 'one unpacks, one begins writes');
    for (const thread of threads) {
      const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
      for (const name of ['CapPrm', 'CapEff', 'CapBnd']) t.regex(status, new RegExp(`${name}:\t000000008800001b\n`));
      t.regex(status, /CapInh:\t0{16}\n/);
      t.regex(status, /NoNewPrivs:\t1\n/);
      t.regex(status, /Seccomp:\t2\n/);
    }
    t.regex(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max cpu time +3600 +3600 +seconds/m);
    t.is(readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n').length, 1);
    t.is(statSync(`/proc/${pid}/root`).ino, statSync(join(layers.path, 'held')).ino);
    t.is(statSync(`/proc/${pid}/cwd`).ino, statSync(join(layers.path, 'held')).ino);
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    t.deepEqual(
      open.filter((target) => !/^(?:socket|pipe):|^\/dev\/null$|^\/$/.test(target)),
      [],
    );
  });
});

test('the confined child dies with its parent', async (t) => {
  await using layers = await Layers.make();
  let child = 0;
  await withHeld(layers, async (pid, parent) => {
    child = pid;
    process.kill(parent, 'SIGKILL');
  });
  await until('the child is gone', () => {
    try {
      return readFileSync(`/proc/${child}/stat`, 'utf8').includes(') Z ');
    } catch {
      return true;
    }
  });
  t.pass();
});

test('a file is read from the merged layers with links resolved inside them', async (t) => {
  await using layers = await Layers.make();
  const chain = await layers.chain([
    [
      directory('etc'),
      file('etc/passwd', 'lower'),
      file('etc/group', 'g'),
      symlink('etc/abs', '/etc/../../../etc/group'),
      symlink('etc/host', '/../../../../proc/version'),
      directory('gone'),
      file('gone/f', 'x'),
    ],
    [file('etc/passwd', 'upper'), { name: '.wh.gone' }, { name: 'etc/null', type: '3', major: 1, minor: 3 }],
  ]);
  const read = (path: string, limit = 100): ReturnType<typeof run> =>
    run(program, ['layer-read', '--limit', String(limit), '--path', path, '--lower', ...chain]);
  t.is((await read('/etc/passwd')).stdout.toString(), 'upper');
  t.is((await read('etc/abs')).stdout.toString(), 'g');
  for (const missing of ['etc/host', 'gone/f', 'gone', 'none', 'etc/passwd/x'])
    t.is((await read(missing)).code, 3, missing);
  t.regex((await read('etc')).stderr, /no regular file: etc: Invalid argument/);
  t.regex((await read('etc/null')).stderr, /no regular file/);
  t.is((await read('etc/passwd', 5)).code, 0);
  t.regex((await read('etc/passwd', 4)).stderr, /read: etc\/passwd: File too large/);
});

test('the usage of a tree is its blocks and inodes, hard links once, links not followed', async (t) => {
  await using layers = await Layers.make();
  const { path } = await layers.unpack([
    directory('d'),
    file('d/a', 'x'.repeat(10_000)),
    hardlink('b', 'd/a'),
    symlink('out', '/usr'),
  ]);
  const { stdout } = await run(program, ['tree-usage', path]);
  const expected = [path, `${path}/d`, `${path}/d/a`].reduce((sum, name) => sum + statSync(name).blocks * 512, 0);
  const [, bytes, inodes] = /^bytes (\d+)\ninodes (\d+)\n$/.exec(stdout.toString()) ?? [];
  t.is(Number(bytes) - expected, 0);
  t.is(Number(inodes), 4);
  const none = await run(program, ['tree-usage', join(path, 'none')]);
  t.is(none.stdout.toString(), 'bytes 0\ninodes 0\n');
});

/** A line of directories with some beside each other at its end, each with a file. */
const makeDeep = `
  mkdir $ARGV[0]; chdir $ARGV[0];
  for (1..10000) { mkdir "d"; chdir "d" }
  for (1..300) { mkdir "e$_" or die; open(my $f, ">", "e$_/f") or die; print $f "x" }`;

test('a tree as deep as only a container makes it is counted with a small stack and few descriptors', async (t) => {
  await using layers = await Layers.make('/dev/shm');
  const { path } = await layers.unpack([directory('d')]);
  const deep = join(path, 'deep');
  await run('perl', ['-e', makeDeep, deep]);
  try {
    const limited = 'ulimit -s 2048; ulimit -n 2200; exec "$0" "$@"';
    const { stdout, stderr } = await run('sh', ['-c', limited, program, 'tree-usage', '--each', deep, `${path}/d`]);
    t.is(stderr, '');
    t.regex(stdout.toString(), /^\d+ 10601\n\d+ 1\n$/);
  } finally {
    await run('rm', ['-rf', deep]);
  }
});

test('the usage of each of several trees is a line, and one that is not there does not stop the others', async (t) => {
  await using layers = await Layers.make();
  const { path } = await layers.unpack([directory('d'), file('d/a', 'x'.repeat(10_000))]);
  const { stdout, code } = await run(program, ['tree-usage', '--each', `${path}/d`, `${path}/none`, `${path}/d`]);
  const bytes = (statSync(`${path}/d`).blocks + statSync(`${path}/d/a`).blocks) * 512;
  t.is(stdout.toString(), `${bytes} 2\n0 0\n${bytes} 2\n`);
  t.is(code, 0);
  t.is((await run(program, ['tree-usage'])).code, 64);
});

/** Sends `first`, waits until `ready` is in the layer, lets `between` change it, and sends the rest. */
const unpackInTwo = async (
  layers: Layers,
  first: readonly TarEntry[],
  ready: string,
  between: (path: string) => void,
  rest: readonly TarEntry[],
): Promise<{ readonly code: number; readonly stderr: string; readonly path: string }> => {
  const path = mkdtempSync(join(layers.path, 'swapped-'));
  const address = `${path}.socket`;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(tar(first, { end: false }));
    void until('the first half is there', () => existsSync(join(path, ready))).then(() => {
      between(path);
      socket.end(tar(rest));
    });
  });
  await new Promise<void>((resolve) => server.listen(address, resolve));
  try {
    return { ...(await run(program, ['unpack', '--to', path, '--from', address, '--no-sync'])), path };
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
};

for (const [what, rest] of [
  ['a file', [file('d/e/second', 'x')]],
  ['a directory', [directory('d/e/second')]],
  ['an opaque mark', [{ name: 'd/e/.wh..wh..opq' }]],
  ['a whiteout', [{ name: 'd/e/.wh.second' }]],
  ['a hard link', [hardlink('d/e/second', 'd/e/first')]],
  ['a new directory with a file', [file('d/e/new/deep/second', 'x')]],
] as const)
  test(`containerd 2025-47290: ${what} does not go through a link that took its parent's place meanwhile`, async (t) => {
    await using layers = await Layers.make();
    const outside = mkdtempSync(join(layers.path, 'outside-'));
    mkdirSync(join(outside, 'e'));
    const before = [outside, join(outside, 'e')].map((at) => statSync(at, { bigint: true }).ctimeNs);
    const swap = (path: string): void => {
      renameSync(join(path, 'd'), join(path, 'moved'));
      symlinkSync(outside, join(path, 'd'));
    };
    // The directories are invented, so that nothing at the end looks for them by their names.
    const first = [file('d/e/first', 'x')];
    const { code, stderr, path } = await unpackInTwo(layers, first, 'd/e/first', swap, rest);
    t.log(code === 0 ? `done: ${readdirSync(join(path, 'moved/e')).join()}` : stderr.trim());
    t.true(existsSync(join(path, 'moved/e/first')), 'the link took the place in time');
    t.deepEqual([readdirSync(outside), readdirSync(join(outside, 'e'))], [['e'], []]);
    // An extended attribute of the host's directory would show here as well.
    t.deepEqual(
      [outside, join(outside, 'e')].map((at) => statSync(at, { bigint: true }).ctimeNs),
      before,
    );
  });
