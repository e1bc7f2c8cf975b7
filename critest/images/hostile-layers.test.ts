import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { sha256 } from '../../base/digest.ts';
import { BerthError } from '../../base/errors.ts';
import { image, mediaTypes } from '../harness/image.ts';
import { startTestRegistry } from '../harness/own-registry.ts';
import { directory, file, hardlink, paxRecord, symlink, type TarEntry, tar } from '../shim/tar.ts';
import { openWorld } from './world.ts';

// A hundred pulls are a hundred syncs; what they would write to disk is not the question here.
process.env.TMPDIR = '/dev/shm';

/** What a layer must not touch: each file with its inode, its times and its bytes; a change of anything moves ctime. */
const surrounding = (path: string): readonly string[] => {
  const info = lstatSync(path, { bigint: true });
  const own = `${path} ${info.ino} ${info.mode} ${info.uid} ${info.nlink} ${info.ctimeNs} ${info.isFile() ? readFileSync(path, 'hex') : ''}`;
  return info.isDirectory()
    ? [
        own,
        ...readdirSync(path)
          .toSorted()
          .flatMap((name) => surrounding(join(path, name))),
      ]
    : [own];
};

const hosts = ['/etc/passwd', '/etc/group', '/etc/hosts'].flatMap(surrounding);
const outside = mkdtempSync('/tmp/bt-outside-');
mkdirSync(join(outside, 'dir/deep'), { recursive: true });
writeFileSync(join(outside, 'file'), 'host');
writeFileSync(join(outside, 'dir/deep/setuid'), 'host');
chmodSync(join(outside, 'dir/deep/setuid'), 0o4755);
symlinkSync('file', join(outside, 'link'));
test.after.always(() => rmSync(outside, { recursive: true }));

const up = `${'../'.repeat(20)}${outside.slice(1)}`;
const loud = { uid: 1000, gid: 1000, mode: 0o6777, mtime: 1 };
const named = (path: string, entry: TarEntry): TarEntry => ({ ...entry, pax: { ...entry.pax, path } });
const device = (name: string, type: string, major: number, minor: number): TarEntry => ({
  name,
  type,
  major,
  minor,
  mode: 0o666,
});
const sparse = (map: string, size: string, data = 'ab'): TarEntry =>
  file('s', data, { pax: { 'GNU.sparse.map': map, 'GNU.sparse.size': size } });
const raw = (records: Buffer | string): TarEntry => ({ name: 'x', type: 'x', data: records });

/** `taken`: the image is pulled, and nothing outside of it has changed. */
type Case = readonly (readonly TarEntry[] | Buffer)[];
const taken: Readonly<Record<string, Case>> = {
  'a link out of the root, and files through it': [
    [symlink('l', outside), file('l/file', 'x', loud), file('l/dir/deep/setuid', 'x', loud)],
  ],
  'a relative link out of the root, and a directory through it': [
    [symlink('l', up), { ...directory('l/dir'), ...loud }],
  ],
  'links through links, up and down': [
    [symlink('a', '..'), symlink('b', 'a/..'), symlink('c', `b${outside}`), file('c/file', 'x')],
  ],
  'a link that becomes a directory between two entries': [
    [symlink('l', outside), directory('l', loud), file('l/file', 'x')],
  ],
  'a directory that becomes a link between two entries': [
    [directory('d'), file('d/a'), symlink('d', outside), file('d/file', 'x', loud)],
  ],
  'a parent that becomes a link': [
    [directory('p/dir'), symlink('p', outside), file('p/dir/deep/setuid', 'x', loud), { name: 'p/dir/.wh.deep' }],
  ],
  'a file that becomes a link, then owner and mode of it': [
    [file('f'), symlink('f', join(outside, 'file')), { ...symlink('f', join(outside, 'file')), ...loud }],
  ],
  'a hard link to a link to the outside, then a file over it': [
    [symlink('l', join(outside, 'file')), hardlink('h', 'l'), file('h', 'x', loud)],
  ],
  'a hard link through a link, with owner and mode': [
    [symlink('l', outside), file('l/dir/x'), { ...hardlink('h', 'l/dir/x'), ...loud }],
  ],
  'setuid and owner through links': [
    [file('su', 'x', { mode: 0o4755 }), { ...symlink('l', 'su'), ...loud }, { ...hardlink('h', 'l'), ...loud }],
  ],
  'whiteouts and opaque marks through links': [
    [symlink('l', outside), { name: 'l/.wh.file' }, { name: 'l/dir/.wh..wh..opq' }],
  ],
  'links of a lower layer': [
    [symlink('l', outside), symlink('m', up)],
    [file('l/file', 'x', loud), file('m/dir/new', 'x'), { name: 'l/.wh.link' }],
  ],
  'a hard link through a lower layer’s link': [
    [symlink('l', '/etc'), file('etc/passwd', 'of the image')],
    [{ ...hardlink('h', 'l/passwd'), ...loud }],
  ],
  'a link loop that nothing goes through': [[symlink('a', 'b'), symlink('b', 'a')]],
  'devices of the host': [
    [device('dev/sda', '4', 8, 0), device('dev/mem', '3', 1, 1), { ...hardlink('dev/kmem', 'dev/mem'), ...loud }],
  ],
  'a fifo that is replaced and linked': [
    [device('f', '6', 0, 0), hardlink('g', 'f'), file('f', 'x'), { ...hardlink('h', 'g'), ...loud }],
  ],
  'names with newlines, escapes and bytes that are not UTF-8': [
    [file('a\nb'), file('\x1b[2J'), file('x', '', { pax: { path: Buffer.from([0xff, 0xfe, 0x2f, 0x80]) } })],
  ],
  'a component of 255 bytes, and a path of almost 4,096': [
    [file('x', '', { pax: { path: 'n'.repeat(255) } }), named(`${'p'.repeat(250)}/`.repeat(15), directory('x'))],
  ],
  'a whiteout of what was never there, and of aufs': [
    [
      { name: '.wh.never' },
      { name: '.wh..wh.aufs' },
      { name: '.wh..wh.orph', type: '5' },
      { name: 'a/.wh..wh.plnk/b' },
    ],
  ],
  'a size for what has no data': [
    [
      { ...directory('d'), size: 5 },
      { ...symlink('l', 'd'), size: 0o777 },
      { ...hardlink('h', 'l'), size: 1 },
    ],
  ],
  'a pax size that differs from the header': [[{ ...file('f', 'abc', { pax: { size: '3' } }), size: 0o77777777 }]],
  'a global header that names everything': [
    [{ name: 'g', type: 'g', data: Buffer.concat([paxRecord('path', outside), paxRecord('size', '9')]) }, file('f')],
  ],
  'many headers in a row': [
    [
      ...Array.from({ length: 300 }, () => raw('')),
      ...Array.from({ length: 300 }, () => ({ name: 'l', type: 'L', data: 'long' })),
      file('f'),
    ],
  ],
  'six thousand names for one file': [[file('a'), ...Array.from({ length: 6000 }, (_, i) => hardlink(`d/${i}`, 'a'))]],
};

/** `refused`: the pull fails with a clear error, and neither the store nor anything else has changed. */
const refused: readonly (readonly [string, Case, RegExp])[] = [
  ['an absolute name with ..', [[file('/../x')]], /leaves the layer/],
  ['a name that is .. alone', [[directory('..')]], /leaves the layer/],
  [
    'a hard link to an absolute path outside',
    [[hardlink('h', join(outside, 'file'))]],
    /hard links to files that are not there/,
  ],
  [
    'a hard link to an absolute path outside, above a layer',
    [[file('a')], [hardlink('h', join(outside, 'file'))]],
    /hard link target/,
  ],
  [
    'a hard link through a link to the outside',
    [[symlink('l', outside), hardlink('h', 'l/file')]],
    /hard links to files that are not there/,
  ],
  [
    'a hard link with .. through a link',
    [[symlink('l', outside), hardlink('h', 'l/../../etc/passwd')]],
    /leaves the layer|not there/,
  ],
  [
    'a link loop as a parent',
    [[symlink('a', 'b/c'), symlink('b', 'a/d'), file('a/f')]],
    /Too many levels|Symbolic link loop/,
  ],
  ['a link to itself', [[symlink('a', 'a'), file('a/f')]], /Too many levels|Symbolic link loop/],
  ['a component of 256 bytes', [[named('n'.repeat(256), file('x'))]], /name too long/i],
  ['a component of 4,096 bytes', [[named('n'.repeat(4096), file('x'))]], /name too long/i],
  ['two thousand levels and more', [[named('d/'.repeat(2040), directory('x'))]], /too long/],
  [
    'two thousand levels, step by step',
    [
      [
        { ...symlink('s', ''), pax: { linkpath: 'd/'.repeat(1000) } },
        named('d/'.repeat(1000), directory('x')),
        named(`s/${'e/'.repeat(1000)}`, file('x')),
      ],
    ],
    /too long/,
  ],
  ['a negative pax size', [[file('f', '', { pax: { size: '-512' } })]], /read tar: size/],
  ['a pax size that overflows', [[file('f', '', { pax: { size: '18446744073709551616' } })]], /read tar: size/],
  ['a pax size in words', [[file('f', '', { pax: { size: '1e3' } })]], /read tar: size/],
  ['more data promised than comes', [[{ ...file('f', 'abc'), size: 0o7777 }]], /truncated/],
  ['a pax record longer than its header', [[raw('999 path=x\n'), file('f')]], /pax record/],
  ['a pax record of length zero', [[raw('0 path=x\n'), file('f')]], /pax record/],
  ['a pax length that overflows', [[raw(`${'9'.repeat(40)} path=x\n`), file('f')]], /pax record/],
  ['a zero byte in a pax path', [[file('f', '', { pax: { path: `a\0${outside}` } })]], /zero byte/],
  ['a zero byte in a pax key', [[raw(paxRecord('pa\0th', 'xyz')), file('f')]], /pax key/],
  ['a pax header of sixteen megabytes', [[raw(Buffer.alloc(16 << 20, '9 a=bcde\n')), file('f')]], /pax or long name/],
  [
    'a long name of two megabytes',
    [[{ name: 'l', type: 'L', data: Buffer.alloc(2 << 20, 'n') }, file('f')]],
    /pax or long name/,
  ],
  ['a header without an entry', [[raw(paxRecord('path', 'x'))]], /header without an entry/],
  ['an empty name', [[file('')]], /empty name/],
  [
    'a mode, an owner and a time that no number holds',
    [[{ ...file('f'), header: (block) => void block.fill(0xbf, 108, 116) }]],
    /read tar: uid/,
  ],
  [
    'a device number beyond the kernel’s',
    [[{ ...device('d', '3', 0, 0), header: (block) => void block.write('7777777\0', 329) }]],
    /device major/,
  ],
  ['sparse segments that overlap', [[sparse('0,1,0,1', '9')]], /sparse file/],
  ['sparse segments beyond the size', [[sparse('8,2', '9')]], /sparse file/],
  ['sparse segments out of order', [[sparse('5,1,0,1', '9')]], /sparse file/],
  ['a sparse map that promises more', [[sparse('0,9', '9')]], /sparse file/],
  [
    'a hundred attributes',
    [
      [
        file('f', '', {
          pax: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`SCHILY.xattr.user.${i}`, 'x'])),
        }),
      ],
    ],
    /xattrs of one entry/,
  ],
  [
    'an attribute of a megabyte',
    [[file('f', '', { pax: { 'SCHILY.xattr.user.a': 'x'.repeat(1_000_000) } })]],
    /set xattr|Argument list/,
  ],
  [
    'overlayfs’s own attributes',
    [[directory('d', { pax: { 'SCHILY.xattr.trusted.overlay.redirect': outside } })]],
    /refuse xattr trusted/,
  ],
  ['a whiteout of the root', [[{ name: '.wh..' }]], /whiteout of no file/],
  ['a whiteout of what lies above', [[{ name: 'd/.wh...' }]], /whiteout of no file/],
  ['a whiteout as a device', [[device('w', '3', 0, 0)]], /make device 0:0/],
  ['the root as a link', [[symlink('.', outside)]], /replace the root/],
  ['the root as a link with a slash', [[symlink('./', outside), file('file', 'x')]], /replace the root/],
  ['bytes that are no archive', [Buffer.alloc(10_000, 'noise')], /checksum of a header/],
  ['a stream that is cut', [tar([file('f', 'x'.repeat(5000))]).subarray(0, 3000)], /truncated/],
];

const built = (layers: Case): ReturnType<typeof image> =>
  image(
    layers.map((entries) => {
      const blob = Buffer.isBuffer(entries) ? entries : tar(entries as readonly TarEntry[]);
      return { diffId: sha256(blob), digest: sha256(blob), blob };
    }),
    {},
    undefined,
    mediaTypes.plainLayer,
  );

const never = new AbortController().signal;

test('hostile layers that can be taken change nothing outside of their image', async (t) => {
  await using registry = await startTestRegistry();
  await using world = await openWorld();
  for (const [what, layers] of Object.entries(taken)) {
    const before = surrounding(outside);
    const made = built(layers);
    registry.add('1', made);
    const id = await world.images.pull(`${registry.host}/app:1`, undefined, { signal: never });
    t.is(id, made.id, what);
    t.deepEqual(surrounding(outside), before, what);
  }
  t.deepEqual(['/etc/passwd', '/etc/group', '/etc/hosts'].flatMap(surrounding), hosts);
});

test('hostile layers that are refused leave nothing, and change nothing outside', async (t) => {
  await using registry = await startTestRegistry();
  await using world = await openWorld();
  const empty = await world.content();
  for (const [what, layers, message] of refused) {
    const before = surrounding(outside);
    registry.add('1', built(layers));
    const error = await t.throwsAsync(
      world.images.pull(`${registry.host}/app:1`, undefined, { signal: never }),
      { instanceOf: BerthError },
      what,
    );
    t.regex(error?.message ?? '', message, what);
    t.deepEqual(surrounding(outside), before, what);
    t.deepEqual(world.images.list(), [], what);
    if (layers.length === 1) t.deepEqual(await world.content(), empty, what);
  }
  t.deepEqual(['/etc/passwd', '/etc/group', '/etc/hosts'].flatMap(surrounding), hosts);
});

test('a stream that is cut at any of twenty bytes is refused and leaves nothing', async (t) => {
  await using registry = await startTestRegistry();
  await using world = await openWorld();
  const whole = tar(
    [
      file('a', 'x'.repeat(700)),
      symlink('l', 'a'),
      file('b', '', { pax: { 'SCHILY.xattr.user.a': '1' } }),
      hardlink('c', 'a'),
    ],
    { end: false },
  );
  for (let i = 0; i < 20; i++) {
    const length = Math.floor((i * 0.6180339887 * whole.length) % whole.length);
    if ([0, 1536, 2048, 3584].includes(length)) continue; // between two entries it may end
    registry.add('1', built([whole.subarray(0, length)]));
    await t.throwsAsync(
      world.images.pull(`${registry.host}/app:1`, undefined, { signal: never }),
      { message: /truncated/ },
      String(length),
    );
  }
  t.deepEqual(world.images.list(), []);
  t.deepEqual(
    (await world.content()).filter((path) => !path.startsWith('tmp/')),
    [],
  );
});
