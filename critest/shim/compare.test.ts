import test from 'ava';
import { Layers } from './layers.ts';
import { directory, file, hardlink, symlink, type TarEntry, tar } from './tar.ts';
import { differences, equalTrees, partOfThisMachine, seenByBerth, treeAt, unpackedByUmoci } from './trees.ts';

const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');

/** Everything that an archive can say of a file, in a first layer. */
const odd: readonly TarEntry[] = [
  directory('./', { mode: 0o755 }),
  directory('etc/', { mode: 0o751, uid: 5, gid: 6, mtime: 1_400_000_000 }),
  file('etc/passwd', 'root', { mode: 0o640, gid: 42 }),
  directory('tmp', { mode: 0o1777, pax: { 'SCHILY.xattr.user.note': 'kept', mtime: '1500000000.987654321' } }),
  directory('setgid', { mode: 0o2775, gid: 50 }),
  file('setgid/in', 'x', { gid: 7 }),
  directory('usr'),
  directory('usr/bin', { mode: 0o711 }),
  directory('usr/lib'),
  symlink('bin', 'usr/bin'),
  symlink('lib', 'usr/lib'),
  file('usr/bin/su', 'elf', { mode: 0o4755, uid: 1000 }),
  file('usr/bin/ping', 'elf', { mode: 0o755, pax: { 'SCHILY.xattr.security.capability': capability } }),
  hardlink('usr/bin/again', 'usr/bin/su'),
  { ...hardlink('usr/bin/su2', './usr/bin/su'), mode: 0o4755, uid: 1000 },
  file('usr/lib/base.so', 'base', { pax: { mtime: '1234567890.000000001' } }),
  file('usr/lib/old.so', 'old'),
  file('bin/through', 'a link in the layer'),
  file('old-time', '', { mtime: -1000, base256: true }),
  file('big-ids', '', { pax: { uid: '3000000000', gid: '2500000000' } }),
  file('binary-xattr', '', { pax: { 'SCHILY.xattr.user.b-c': Buffer.from([1, 0, 255, 10, 61]) } }),
  directory('x', { pax: { path: 'd'.repeat(200) } }),
  file('x', 'long', { pax: { path: `${'d'.repeat(200)}/${'n'.repeat(250)}` } }),
  directory('g'.repeat(120), { gnuLong: true }),
  file(`${'g'.repeat(120)}/x`, 'gnu', { gnuLong: true }),
  file('a\nb\x1b[31m', 'newline'),
  { ...file('y', 'not UTF-8'), pax: { path: Buffer.from([0x66, 0xff, 0xfe]) } },
  { name: 'dev', type: '5' },
  { name: 'dev/null', type: '3', major: 1, minor: 3, mode: 0o666 },
  { name: 'dev/disk', type: '4', major: 259, minor: 70_000, mode: 0o660, gid: 6 },
  { name: 'fifo', type: '6', mode: 0o622 },
  symlink('dangling', '/nowhere'),
  symlink('dir-link', 'real'),
  directory('real', { mode: 0o700 }),
  file('real/file'),
  directory('gone'),
  file('gone/a'),
  file('gone/b'),
  directory('opaque', { mode: 0o750 }),
  file('opaque/old'),
  directory('opaque/kept'),
  file('opaque/kept/old'),
  file('to-directory', 'x'),
  directory('to-file'),
  file('to-file/in', 'x'),
  directory('to-link'),
  file('to-link/in', 'x'),
  symlink('link-to-directory', 'real'),
  file('twice', 'first'),
  file('twice', 'second', { mode: 0o600 }),
];

/** Changes of every kind above it. */
const changes: readonly TarEntry[] = [
  { name: '.wh.gone' },
  directory('opaque', { mode: 0o700 }),
  { name: 'opaque/.wh..wh..opq' },
  file('opaque/new', 'n'),
  directory('opaque/kept'),
  { name: 'usr/lib/.wh.old.so' },
  { name: '.wh.never-there' },
  directory('to-directory', { mode: 0o710 }),
  file('to-directory/in', 'y'),
  file('to-file', 'now a file'),
  symlink('to-link', 'real'),
  directory('link-to-directory', { mode: 0o701 }),
  file('link-to-directory/own', 'own'),
  directory('usr/lib', { mtime: 1_450_000_000 }),
  file('usr/lib/new.so', 'new', { mtime: 1_460_000_000 }),
  directory('etc', { mode: 0o700, mtime: 1_470_000_000 }),
  file('etc/new', 'n'),
  directory('fresh', { mtime: 1_480_000_000 }),
  file('fresh/a', 'a'),
  file('fresh/b', 'b'),
  hardlink('fresh/c', 'fresh/a'),
];

/** No entry for any parent, names through links. GNU tar leaves such a parent the time at which it wrote into it. */
const through: readonly TarEntry[] = [
  file('lib/new.so', 'new'),
  file('bin/tool', 'tool', { mode: 0o4711 }),
  { name: 'lib/.wh.old.so' },
  file('etc/new', 'n'),
  file('tmp/new', 't'),
  file('dir-link/in', 'through a relative link'),
  hardlink('usr/bin/third', 'usr/bin/su'),
  hardlink('bin/fourth', 'bin/ping'),
];

test('a layer with all that an archive can say is what umoci and GNU tar make of it', (t) => equalTrees(t, [tar(odd)]));

test('so is a second layer that changes it in every way', (t) => equalTrees(t, [tar(odd), tar(changes)]));

test('so is a layer that omits parents and goes through links of the layer below', (t) =>
  equalTrees(t, [tar(odd), tar(through)], { tar: /^\.\/usr\/(?:lib|bin)\/$|^\.\/(?:etc|tmp|real)\/$/ }));

test('what goes through absolute links, links to links and links to nothing lands where umoci puts it', async (t) => {
  const below = [
    directory('data', { mode: 0o711 }),
    directory('data/real', { mode: 0o750 }),
    directory('data/real/inner', { uid: 3 }),
    symlink('one', '/two'),
    symlink('two', '../../data/link'),
    symlink('data/link', '../data/real'),
    symlink('data/real/hop', '/data/far'),
    symlink('dangling', '/var/made'),
    symlink('data/real/self', '/'),
    file('data/real/file', 'x'),
  ];
  const above = [
    file('one/a', '1'),
    file('one/inner/b', '2'),
    file('one/hop/c', '3'),
    file('dangling/d', '4'),
    file('two/e', '5'),
    file('one/self/data/f', '6'),
    { name: 'one/.wh.file' },
    hardlink('one/linked', 'two/inner/b'),
  ];
  await using layers = await Layers.make();
  const streams = [tar(below), tar(above)];
  const umoci = treeAt(await unpackedByUmoci(layers.path, streams));
  t.true(umoci.has('./data/far/c') && umoci.has('./var/made/d'));
  t.deepEqual(differences(await seenByBerth(layers, streams), umoci, /^\.\/(?:var|var\/made|data|data\/far)\/$/), []);
});

test('so is a part of this machine in two layers', (t) =>
  equalTrees(t, partOfThisMachine(['usr/share/perl5', 'usr/share/debconf']), { tar: /share\/(?:perl5\/)?$/ }));
