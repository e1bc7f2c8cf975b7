import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Layers, program, run } from './layers.ts';
import { directory, file, hardlink, symlink, type TarEntry, tar } from './tar.ts';

const nanoseconds = (path: string): bigint => lstatSync(path, { bigint: true }).mtimeNs;
const mode = (path: string): number => lstatSync(path).mode & 0o7777;
/** GNU tar shows the extended attributes of a file as pax records; getfattr is not everywhere. */
const xattrs = (path: string): Buffer =>
  execFileSync('tar', ['--xattrs', '--xattrs-include=*', '--format=pax', '--no-recursion', '-PcO', path], {
    maxBuffer: 1 << 20,
  });
const hasXattr = (path: string, name: string, value: string | Uint8Array): boolean =>
  xattrs(path).includes(Buffer.concat([Buffer.from(`SCHILY.xattr.${name}=`), Buffer.from(value), Buffer.from('\n')]));

/** The stream is refused with one clear line that matches. */
const refused = async (t: ExecutionContext, stream: Buffer, message: RegExp): Promise<void> => {
  await using layers = await Layers.make();
  const { code, stderr } = await layers.unpackStream(stream);
  t.is(code, 1, stderr);
  t.regex(stderr, message);
  t.is(stderr.split('\n').length, 2, 'exactly one line');
};

test('a layer keeps types, modes, owners and times', async (t) => {
  await using layers = await Layers.make();
  const { path, report } = await layers.unpack([
    directory('./', { mode: 0o555, uid: 1, gid: 2 }),
    directory('bin', { mode: 0o1777 }),
    file('bin/su', 'elf', { mode: 0o6755, uid: 1000, gid: 1001 }),
    symlink('bin/sh', 'su'),
    { name: 'bin/null', type: '3', major: 1, minor: 3, mode: 0o666 },
    { name: 'bin/disk', type: '4', major: 8, minor: 1, mode: 0o660 },
    { name: 'bin/fifo', type: '6', mode: 0o622 },
  ]);
  t.deepEqual(report, { entries: 7, bytes: 3, opaqueRoot: false, parents: [], hardlinks: [], root: ['555', '1', '2'] });
  t.is(mode(path), 0o555);
  t.is(mode(join(path, 'bin')), 0o1777);
  t.is(mode(join(path, 'bin/su')), 0o6755);
  t.is(lstatSync(join(path, 'bin/su')).uid, 1000);
  t.is(lstatSync(join(path, 'bin/su')).gid, 1001);
  t.is(readlinkSync(join(path, 'bin/sh')), 'su');
  t.is(lstatSync(join(path, 'bin/null')).rdev, 0x103);
  t.true(lstatSync(join(path, 'bin/disk')).isBlockDevice());
  t.is(mode(join(path, 'bin/fifo')), 0o622);
  for (const name of ['bin', 'bin/su', 'bin/sh', 'bin/null'])
    t.is(nanoseconds(join(path, name)), 1_600_000_000n * 10n ** 9n);
});

test('the token goes out before the first byte is read', async (t) => {
  await using layers = await Layers.make();
  t.is((await layers.unpackStream(tar([]))).tokens, 'c0ffee\n');
});

test('pax and GNU carry what ustar cannot: long names, ns mtimes, big ids, xattrs', async (t) => {
  await using layers = await Layers.make();
  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
  const long = `${'d'.repeat(200)}/${'n'.repeat(250)}`;
  const { path } = await layers.unpack([
    file('short', 'pax', {
      pax: { path: long, mtime: '1600000000.123456789', uid: '3000000', 'SCHILY.xattr.user.a': 'one' },
    }),
    file(`${long}2`, 'gnu', { gnuLong: true, base256: true, uid: 4_000_000, mtime: -1 }),
    { ...symlink('link', long), gnuLong: true },
    file('library', '', { pax: { 'LIBARCHIVE.xattr.user.b%2dc': 'AAH/' } }),
    file('capable', 'x', {
      mode: 0o755,
      uid: 7,
      pax: { 'SCHILY.xattr.security.capability': capability },
    }),
    file('empty', '', { pax: { 'SCHILY.xattr.security.selinux': 'label', comment: 'none' } }),
  ]);
  t.is(nanoseconds(join(path, long)), 1_600_000_000_123_456_789n);
  t.is(lstatSync(join(path, long)).uid, 3_000_000);
  t.true(hasXattr(join(path, long), 'user.a', 'one'));
  t.is(readFileSync(join(path, `${long}2`), 'utf8'), 'gnu');
  t.is(lstatSync(join(path, `${long}2`)).uid, 4_000_000);
  t.is(nanoseconds(join(path, `${long}2`)), -(10n ** 9n));
  t.is(readlinkSync(join(path, 'link')), long);
  t.true(hasXattr(join(path, 'library'), 'user.b-c', Buffer.from([0, 1, 255])));
  t.true(hasXattr(join(path, 'capable'), 'security.capability', capability));
  t.false(xattrs(join(path, 'empty')).includes('security.selinux'));
});

test('names of every age of tar: V7 without prefix, ustar and star with it, NUL or none at the end', async (t) => {
  await using layers = await Layers.make();
  const prefixed = (magic: string, prefix: string) => (header: Buffer) => {
    header.fill(0, 257, 512);
    header.write(magic, 257, 'latin1');
    header.write(prefix, 345, 'latin1');
  };
  const { path } = await layers.unpack([
    directory('p'.repeat(155)),
    file('n'.repeat(100), 'ustar', { header: prefixed('ustar\x0000', 'p'.repeat(155)) }),
    file('v7', 'v7', { header: prefixed('', 'not/a/prefix') }),
    file('gnu', 'gnu', { header: prefixed('ustar  \0', 'not/a/prefix') }),
    { name: 'v7-directory/', type: '\0', header: prefixed('', '') },
    { name: 'v7-file', type: '\0', data: 'old' },
    { name: 'contiguous', type: '7', data: 'c' },
    file('.//a/./b//c', 'dots'),
    { ...directory('slashes///'), mode: 0o700 },
  ]);
  t.is(readFileSync(join(path, 'p'.repeat(155), 'n'.repeat(100)), 'utf8'), 'ustar');
  for (const [name, content] of [
    ['v7', 'v7'],
    ['gnu', 'gnu'],
    ['v7-file', 'old'],
    ['contiguous', 'c'],
    ['a/b/c', 'dots'],
  ] as const)
    t.is(readFileSync(join(path, name), 'utf8'), content);
  t.true(lstatSync(join(path, 'v7-directory')).isDirectory());
  t.is(mode(join(path, 'slashes')), 0o700);
  t.deepEqual(
    readdirSync(path).filter((name) => name === 'not'),
    [],
  );
});

test('what a pax header says: a charset changes nothing, the last of two counts, an empty one is not there', async (t) => {
  await using layers = await Layers.make();
  const { path } = await layers.unpack([
    { name: 'g', type: 'g', data: Buffer.from('16 uid=12345678\n') },
    file('plain', 'x', { pax: [] }),
    { ...file('x'), pax: { hdrcharset: 'BINARY', path: Buffer.from([0x62, 0xff]) } },
    file('twice', 'x', {
      pax: [
        ['uid', '1'],
        ['uid', '2'],
        ['mtime', '-1.25'],
      ],
    }),
    file('empty', 'x', { uid: 7, pax: { uid: '', path: '' } }),
    file('largest', 'x', { pax: { uid: '4294967294', gid: '4294967294' } }),
    directory('attributes', { pax: { 'SCHILY.xattr.user.d': 'of a directory' } }),
  ]);
  t.is(lstatSync(join(path, 'plain')).uid, 0, 'of the global header nothing counts');
  t.true(readdirSync(path, 'buffer').some((name) => name.equals(Buffer.from([0x62, 0xff]))));
  t.is(lstatSync(join(path, 'twice')).uid, 2);
  t.is(nanoseconds(join(path, 'twice')), -1_250_000_000n);
  t.is(lstatSync(join(path, 'empty')).uid, 7);
  t.is(lstatSync(join(path, 'largest')).gid, 4_294_967_294);
  t.true(hasXattr(join(path, 'attributes'), 'user.d', 'of a directory'));
});

test('whiteouts hide lower files, and entries of the same layer win whatever the order', async (t) => {
  await using layers = await Layers.make();
  const lower = [
    directory('d'),
    file('d/old', 'lower'),
    file('gone', 'x'),
    file('both', 'lower'),
    directory('again'),
    file('again/old', 'x'),
  ];
  const chain = await layers.chain([
    lower,
    [
      { name: '.wh.gone' },
      file('both', 'upper'),
      { name: '.wh.both' },
      { name: '.wh.again' },
      directory('again'),
      file('again/new', 'y'),
      directory('d'),
      { name: 'd/.wh..wh..opq' },
      file('d/new', 'z'),
      { name: '.wh..wh.aufs' },
      directory('.wh..wh.plnk'),
      file('.wh..wh.plnk/1.2', 'q'),
    ],
  ]);
  t.is(lstatSync(join(chain[0] ?? '', 'gone')).rdev, 0);
  t.true(hasXattr(join(chain[0] ?? '', 'd'), 'trusted.overlay.opaque', 'y'));
  t.is(
    await layers.inMerged(chain, 'find . | sort | xargs; cat both'),
    '. ./again ./again/new ./both ./d ./d/new\nupper',
  );
});

test('an opaque root is told, since overlayfs would not see it', async (t) => {
  await using layers = await Layers.make();
  t.true((await layers.unpack([{ name: '.wh..wh..opq' }, file('a')])).report.opaqueRoot);
});

test('later entries replace earlier ones of another type', async (t) => {
  await using layers = await Layers.make();
  const { path } = await layers.unpack([
    directory('a'),
    directory('a/b'),
    file('a/b/c', 'x'),
    file('a', 'file now'),
    file('f', 'x'),
    directory('f'),
    file('f/in', 'y'),
    symlink('l', 'f'),
    file('l/through', 'z'),
    directory('l', { mode: 0o700 }),
    file('l/own', 'w'),
    file('twice', 'first'),
    file('twice', 'second', { mode: 0o600 }),
  ]);
  t.is(readFileSync(join(path, 'a'), 'utf8'), 'file now');
  t.deepEqual(readdirSync(join(path, 'f')).sort(), ['in', 'through']);
  t.deepEqual(readdirSync(join(path, 'l')), ['own']);
  t.is(readFileSync(join(path, 'twice'), 'utf8'), 'second');
  t.is(mode(join(path, 'twice')), 0o600);
});

test('hard links inside the layer share the file, those out of it are told', async (t) => {
  await using layers = await Layers.make();
  const { path, report } = await layers.unpack([
    file('a', 'x'),
    hardlink('d/b', '/a'),
    hardlink('self', 'self'),
    hardlink('d/out', './usr/bin/lower'),
    hardlink('a', 'a'),
    hardlink('taken', 'nowhere'),
    file('taken', 'here'),
  ]);
  t.is(statSync(join(path, 'a')).ino, statSync(join(path, 'd/b')).ino);
  t.deepEqual(report.hardlinks, [
    ['self', 'self'],
    ['d/out', 'usr/bin/lower'],
  ]);
  t.deepEqual(report.parents, ['d']);
});

test('the file of a hard link has the owner, mode, time and attributes of the link’s own entry', async (t) => {
  await using layers = await Layers.make();
  const own = { mode: 0o4750, uid: 1000, gid: 1001, mtime: 1_500_000_000 };
  const { path } = await layers.unpack([
    file('a', 'x', { mode: 0o600, uid: 1 }),
    { ...hardlink('b', 'a'), ...own, pax: { 'SCHILY.xattr.user.a': 'one' } },
    file('same', 'y', own),
    { ...hardlink('other', 'same'), ...own },
    { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
    { ...hardlink('nothing', 'null'), ...own },
    symlink('link', 'a'),
    { ...hardlink('link2', 'link'), ...own },
  ]);
  for (const name of ['a', 'b', 'same', 'other', 'null', 'link']) {
    const { uid, gid, mtimeMs } = lstatSync(join(path, name));
    t.deepEqual([uid, gid, mtimeMs], [1000, 1001, 1_500_000_000_000], name);
  }
  for (const name of ['a', 'other']) t.is(mode(join(path, name)), 0o4750);
  t.is(mode(join(path, 'null')), 0o666, 'of a device it stays');
  t.true(hasXattr(join(path, 'a'), 'user.a', 'one'));
});

test('links in the layer are followed inside its root: absolute, with .. and through the top', async (t) => {
  await using layers = await Layers.make();
  const { path, report } = await layers.unpack([
    symlink('abs', '/real'),
    symlink('up', '../../../../../../real2'),
    symlink('self', '/'),
    file('abs/one', '1'),
    file('up/two', '2'),
    file('self/self/three', '3'),
    symlink('passwd', '/etc/passwd'),
    file('passwd', 'own'),
    symlink('etc', '/etc'),
    file('other/x', '4'),
  ]);
  t.is(readFileSync(join(path, 'real/one'), 'utf8'), '1');
  t.is(readFileSync(join(path, 'real2/two'), 'utf8'), '2');
  t.is(readFileSync(join(path, 'three'), 'utf8'), '3');
  t.is(readFileSync(join(path, 'passwd'), 'utf8'), 'own');
  t.deepEqual(report.parents, ['other', 'real', 'real2']);
});

test('containerd 2021-32760: owner, mode and time of a link are its own, and what it leads to keeps its', async (t) => {
  await using layers = await Layers.make();
  const outside = join(layers.path, 'outside');
  writeFileSync(outside, 'host', { mode: 0o600 });
  const before = lstatSync(outside, { bigint: true });
  const loud = { uid: 1000, gid: 1001, mode: 0o6777, mtime: 1_500_000_000 };
  const { path } = await layers.unpack([
    file('target', 'x', { mode: 0o600, uid: 7, gid: 8 }),
    directory('dir', { mode: 0o700, uid: 9 }),
    { ...symlink('to-file', 'target'), ...loud },
    { ...symlink('to-dir', 'dir'), ...loud },
    { ...symlink('out', outside), ...loud },
    { ...symlink('up', `../../../../../../../../../..${outside}`), ...loud },
    { ...hardlink('again', 'to-file'), ...loud },
    file('to-dir/through', '', loud),
  ]);
  const facts = (name: string): unknown[] => {
    const { uid, gid, mtimeMs } = lstatSync(join(path, name));
    return [uid, gid, mtimeMs / 1000];
  };
  t.deepEqual([mode(join(path, 'target')), ...facts('target')], [0o600, 7, 8, 1_600_000_000]);
  t.deepEqual([mode(join(path, 'dir')), ...facts('dir')], [0o700, 9, 0, 1_600_000_000]);
  for (const name of ['to-file', 'to-dir', 'out', 'up', 'again', 'dir/through'])
    t.deepEqual(facts(name), [1000, 1001, 1_500_000_000], name);
  t.deepEqual(lstatSync(outside, { bigint: true }).ctimeNs, before.ctimeNs);
  const attribute = { pax: { 'SCHILY.xattr.user.a': '1' } };
  await refused(
    t,
    tar([file('target'), { ...symlink('l', 'target'), ...attribute }]),
    /set xattr of a special file: l: /,
  );
});

const bad: readonly (readonly [string, readonly TarEntry[], RegExp])[] = [
  ['a name with ../ in front', [file('../escape', 'x')], /name leaves the layer: \.\.\/escape: /],
  ['a name that climbs out in the middle', [file('a/../../escape')], /name leaves the layer/],
  ['an absolute name that climbs out', [file('/../../etc/passwd')], /name leaves the layer/],
  ['a hard link out of the root', [hardlink('a', '../../etc/passwd')], /hard link leaves the layer/],
  ['a hard link to a directory', [directory('d'), hardlink('a', 'd')], /hard link to a directory: a: /],
  ['a hard link to the root', [hardlink('a', '/')], /hard link target/],
  ['a link loop as parent', [symlink('a', 'b'), symlink('b', 'a'), file('a/x')], /a: Symbolic link loop|Too many/],
  ['a file as parent', [file('a'), file('a/b')], /make directory: a: Not a directory/],
  ['a device as parent', [{ name: 'n', type: '3', major: 1, minor: 3 }, file('n/b')], /Not a directory/],
  [
    'trusted.overlay.redirect',
    [directory('d', { pax: { 'SCHILY.xattr.trusted.overlay.redirect': '/etc' } })],
    /refuse xattr trusted\.overlay\.redirect: d: /,
  ],
  [
    'trusted xattrs in the other notation',
    [directory('d', { pax: { 'LIBARCHIVE.xattr.trusted%2eoverlay.opaque': 'eQ' } })],
    /refuse xattr trusted\.overlay\.opaque/,
  ],
  ['a whiteout of nothing', [{ name: 'a/.wh.' }], /whiteout of no file/],
  ['a whiteout of ..', [{ name: 'a/.wh...' }], /whiteout of no file/],
  ['a whiteout of .', [{ name: 'a/.wh..' }], /whiteout of no file/],
  ['files in a whiteout', [file('.wh.a/b')], /whiteout with files in it/],
  ['a device that overlayfs takes for a whiteout', [{ name: 'n', type: '3' }], /make device 0:0/],
  ['the root as a file', [file('.', 'x')], /replace the root/],
  ['a name longer than the kernel takes', [file('x', '', { pax: { path: 'a/'.repeat(2100) } })], /read tar: name/],
  [
    'a component longer than the kernel takes',
    [file('x', '', { pax: { path: 'a'.repeat(256) } })],
    /File name too long|Filename too long/,
  ],
  ['a wrong checksum', [file('a', '', { checksum: 1 })], /read tar: checksum of a header: offset 512/],
  ['an owner beyond 32 bits', [file('a', '', { base256: true, uid: 2 ** 33 })], /read tar: uid/],
  ['an empty pax path and an empty name', [file('', '', { pax: { path: '' } })], /empty name/],
  ['an unknown type', [{ name: 'a', type: 'V' }], /read tar: entry type/],
  ['a negative size', [file('a', '', { pax: { size: '-1' } })], /read tar: size/],
  ['a size with something behind it', [file('a', '', { pax: { size: '1x' } })], /read tar: size/],
  ['a uid that chown takes for "leave it"', [file('a', '', { pax: { uid: '4294967295' } })], /read tar: uid/],
  ['a negative uid', [file('a', '', { base256: true, uid: -2 })], /read tar: uid/],
  ['a zero byte in a pax path', [file('a', '', { pax: { path: 'a\0b' } })], /zero byte/],
  ['a newline in a name that goes wrong', [file('../a\nb')], /leaves the layer: \.\.\/a\?b/],
];

for (const [what, entries, message] of bad)
  test(`refused: ${what}`, async (t) => {
    await refused(t, tar(entries), message);
  });

test('refused: a stream that ends early, at every kind of place', async (t) => {
  const whole = tar([file('a', 'x'.repeat(1000)), file('b', 'y', { pax: { 'SCHILY.xattr.user.x': '1' } })], {
    end: false,
  });
  for (const length of [1, 511, 513, 1023, 1500, 1536 + 100, 1536 + 512, 1536 + 700, 1536 + 1024, whole.length - 1])
    await refused(t, whole.subarray(0, length), /truncated: offset \d+: Broken pipe/);
});

test('a layer without the two zero blocks is whole, also one of no byte', async (t) => {
  await using layers = await Layers.make();
  t.is((await layers.unpackStream(Buffer.alloc(0))).code, 0);
  t.is((await layers.unpackStream(tar([file('a', 'x')], { end: false }))).code, 0);
});

test('a layer that ends with the last byte of its last file, as umoci insert writes it, is whole', async (t) => {
  await using layers = await Layers.make();
  const text = 'x'.repeat(700);
  const stream = tar([file('a', text)], { end: false }).subarray(0, 512 + text.length);
  const { code, stderr, path } = await layers.unpackStream(stream);
  t.is(code, 0, stderr);
  t.is(readFileSync(join(path, 'a'), 'utf8'), text);
});

test('refused: a directory that is not empty', async (t) => {
  await using layers = await Layers.make();
  const { path } = await layers.unpack([file('a')]);
  const { code, stderr } = await run(program, ['unpack', '--to', path, '--from', join(layers.path, 'none')]);
  t.is(code, 1);
  t.regex(stderr, /^unpack into: .*: Directory not empty\n$/);
});

test('C: after the merge /tmp is 1777 and lib is still a link', async (t) => {
  await using layers = await Layers.make();
  const chain = await layers.chain([
    [
      directory('tmp', { mode: 0o1777, mtime: 1_500_000_000, pax: { 'SCHILY.xattr.user.note': 'kept' } }),
      directory('usr', { mode: 0o751 }),
      directory('usr/lib', { uid: 5, mode: 0o711 }),
      symlink('lib', 'usr/lib'),
      file('usr/lib/base.so', 'base'),
      file('usr/lib/old.so', 'old'),
    ],
    [
      file('tmp/work', '1'),
      file('lib/new.so', 'new'),
      file('lib/sub/deep/x', 'deep'),
      { name: 'lib/.wh.old.so' },
      directory('usr'),
      directory('usr/lib', { mode: 0o700 }),
      file('usr/lib/own.so', 'own'),
    ],
  ]);
  t.is(chain.length, 3);
  const script =
    'stat -c "%a %u %Y %N" tmp lib usr usr/lib; tar --xattrs --format=pax --no-recursion -cO tmp | grep -ao user.note=kept; ls usr/lib | xargs; cat lib/new.so lib/sub/deep/x lib/own.so';
  t.is(
    await layers.inMerged(chain, script),
    [
      "1777 0 1500000000 'tmp'",
      "777 0 1600000000 'lib' -> 'usr/lib'",
      "755 0 1600000000 'usr'",
      "700 0 1600000000 'usr/lib'",
      'user.note=kept',
      'base.so new.so own.so sub',
      'newdeepown',
    ].join('\n'),
  );
});

test('a fix-up follows links to links, absolute links, links inside moved trees and links to nothing yet', async (t) => {
  await using layers = await Layers.make();
  const chain = await layers.chain([
    [
      directory('data'),
      directory('data/real', { mode: 0o750 }),
      symlink('one', '/two'),
      symlink('two', 'data/link'),
      symlink('data/link', '../data/real'),
      directory('data/real/inner'),
      symlink('data/real/hop', '/data/far'),
      symlink('dangling', 'var/made'),
    ],
    [file('one/a', '1'), file('one/inner/b', '2'), file('one/hop/c', '3'), file('dangling/d', '4'), file('two/e', '5')],
  ]);
  const script =
    'for l in one two data/link data/real/hop dangling; do readlink $l; done; stat -c %a data/real; find data var -type f | sort | xargs; cat data/far/c var/made/d';
  t.is(
    await layers.inMerged(chain, script),
    '/two\ndata/link\n../data/real\n/data/far\nvar/made\n750\ndata/far/c data/real/a data/real/e data/real/inner/b var/made/d\n34',
  );
});

test('a fix-up brings the targets of hard links out of the layer', async (t) => {
  await using layers = await Layers.make();
  const chain = await layers.chain([
    [
      directory('usr/bin', { mode: 0o711 }),
      symlink('bin', 'usr/bin'),
      file('usr/bin/tool', 'tool', { mode: 0o4755, uid: 3, mtime: 1_400_000_000 }),
    ],
    [hardlink('bin/alias', 'bin/tool'), hardlink('opt/second', 'bin/alias'), hardlink('usr/bin/third', 'usr/bin/tool')],
  ]);
  const script =
    'stat -c "%a %u %Y %n" usr/bin/* opt/second; readlink bin; stat -c %a usr/bin; cat opt/second; test opt/second -ef usr/bin/alias';
  t.is(
    await layers.inMerged(chain, script),
    [
      '4755 3 1400000000 usr/bin/alias',
      '4755 3 1400000000 usr/bin/third',
      '4755 3 1400000000 usr/bin/tool',
      '4755 3 1400000000 opt/second',
      'usr/bin',
      '711',
      'tool',
    ].join('\n'),
  );
});

test('a hard link whose target no layer has is an error of the fix-up', async (t) => {
  await using layers = await Layers.make();
  await t.throwsAsync(layers.chain([[file('a')], [hardlink('b', 'none')]]), {
    message: /hard link target: none: No such file/,
  });
});

test('nothing to fix makes no layer', async (t) => {
  await using layers = await Layers.make();
  t.is((await layers.chain([[file('a')], [file('new/b')]])).length, 2);
  t.is(
    (
      await layers.chain([
        [directory('d'), file('d/a')],
        [{ name: '.wh.d' }, file('d/b')],
      ])
    ).length,
    2,
  );
});

test('a directory that the layer names replaces the link below it', async (t) => {
  await using layers = await Layers.make();
  const chain = await layers.chain([
    [directory('r'), file('r/x'), symlink('l', 'r')],
    [directory('l'), file('l/sub/y', 'y')],
  ]);
  t.is(await layers.inMerged(chain, 'find l r | sort | xargs'), 'l l/sub l/sub/y r r/x');
});

test('overlayfs shows what lies below an opaque root, so such layers must be left out', async (t) => {
  await using layers = await Layers.make();
  const below = await layers.unpack([file('below')]);
  const above = await layers.unpack([directory('d'), file('d/.wh..wh..opq'), file('d/above')]);
  // The root of this lower has the mark, which overlayfs obeys in every directory but a root.
  const marked = join(above.path, 'd');
  t.true(hasXattr(marked, 'trusted.overlay.opaque', 'y'));
  t.is(await layers.inMerged([marked, below.path], 'ls'), 'above\nbelow');
  t.is(await layers.inMerged([marked], 'ls'), 'above');
});
