import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Layers, program, run } from './layers.ts';
import { file, type PaxRecords, type TarEntry, tar } from './tar.ts';

/** A file of `size` bytes with `text` at each place. */
const sparseFile = (path: string, size: number, places: readonly number[], text = 'data'): void => {
  const fd = openSync(path, 'w');
  for (const at of places) writeSync(fd, text, at);
  ftruncateSync(fd, size);
  closeSync(fd);
};

for (const [name, options] of [
  ['old GNU', ['--format=gnu']],
  ['pax 0.0', ['--format=posix', '--sparse-version=0.0']],
  ['pax 0.1', ['--format=posix', '--sparse-version=0.1']],
  ['pax 1.0', ['--format=posix', '--sparse-version=1.0']],
] as const)
  test(`sparse files of GNU tar (${name}) come out byte for byte, holes as holes`, async (t) => {
    await using layers = await Layers.make();
    const from = join(layers.path, 'layer0');
    execFileSync('mkdir', [from]);
    const files = ['one', 'none', 'many', 'ends'];
    sparseFile(join(from, 'one'), 9_000_001, [5_000_000]);
    sparseFile(join(from, 'none'), 1_000_000, []);
    // More segments than a header, an extension or a block of lines holds.
    const places = Array.from({ length: 90 }, (_, i) => i * 40_000);
    sparseFile(join(from, 'many'), 4_000_000, places);
    sparseFile(join(from, 'ends'), 3_000_004, [3_000_000]);
    const stream = execFileSync('tar', ['-cSf', '-', ...options, '-C', from, ...files], { maxBuffer: 1 << 26 });
    const { path, stderr } = await layers.unpackStream(stream);
    t.is(stderr, '');
    for (const file of files) {
      t.true(readFileSync(join(path, file)).equals(readFileSync(join(from, file))), file);
      t.true(statSync(join(path, file)).blocks <= statSync(join(from, file)).blocks, file);
    }
  });

const number = (value: number | string): string =>
  typeof value === 'string' ? value : value.toString(8).padStart(11, '0');

type Pairs = readonly (readonly [number | string, number | string])[];

const putPairs = (block: Buffer, at: number, pairs: Pairs): void =>
  pairs.forEach(([offset, length], i) => {
    block.write(`${number(offset)}\0`, at + 24 * i, 'latin1');
    block.write(`${number(length)}\0`, at + 24 * i + 12, 'latin1');
  });

/** An old GNU sparse entry, whose header tells the real size and up to four pairs. */
const oldGnu = (data: string, size: number | string, pairs: Pairs, more?: readonly Pairs[]): TarEntry => ({
  name: 's',
  type: 'S',
  data,
  header: (header) => {
    header.write('ustar  \0', 257, 'latin1');
    header.fill(0, 345, 512);
    putPairs(header, 386, pairs);
    header[482] = more === undefined ? 0 : 1;
    header.write(`${number(size)}\0`, 483, 'latin1');
  },
  ...(more !== undefined && {
    extension: Buffer.concat(
      more.map((list, i) => {
        const block = Buffer.alloc(512);
        putPairs(block, 0, list);
        block[504] = i + 1 < more.length ? 1 : 0;
        return block;
      }),
    ),
  }),
});

const pax = (data: string, records: PaxRecords): TarEntry =>
  file('x', data, { pax: records.map(([key, value]) => [key.replace(/^\./, 'GNU.sparse.'), value]) });

const version1 = (map: string, data: string, size: string): TarEntry =>
  pax(`${map.padEnd(512, '\0')}${data}`, [
    ['.major', '1'],
    ['.minor', '0'],
    ['.realsize', size],
  ]);

const told: readonly (readonly [string, TarEntry, string])[] = [
  [
    'old GNU with an extension',
    oldGnu(
      'abcde',
      12,
      [
        [0, 1],
        [2, 1],
        [4, 1],
        [6, 1],
      ],
      [[[10, 1]]],
    ),
    'a\0b\0c\0d\0\0\0e\0',
  ],
  ['old GNU with no segment at all', oldGnu('', 3, []), '\0\0\0'],
  [
    '0.0 with records one by one',
    pax('abc', [
      ['.size', '5'],
      ['.numblocks', '2'],
      ['.offset', '0'],
      ['.numbytes', '1'],
      ['.offset', '3'],
      ['.numbytes', '2'],
    ]),
    'a\0\0bc',
  ],
  [
    '0.1 with another name',
    pax('ab', [
      ['.size', '4'],
      ['.map', '0,1,2,1'],
      ['.name', 'other'],
    ]),
    'a\0b\0',
  ],
  ['1.0 whose map fills more than a block', version1(`1\n${'0'.repeat(15)}2\n1\n`, 'z', '3'), '\0\0z'],
  ['segments of length zero anywhere', version1('4\n0\n0\n1\n1\n2\n0\n5\n0\n', 'x', '5'), '\0x\0\0\0'],
];

for (const [what, entry, content] of told)
  test(`a sparse file is read right: ${what}`, async (t) => {
    await using layers = await Layers.make();
    const name = what.includes('another name') ? 'other' : entry.name;
    const { path, report } = await layers.unpack([entry, file('behind', 'intact')]);
    t.is(readFileSync(join(path, name), 'latin1'), content);
    t.is(readFileSync(join(path, 'behind'), 'latin1'), 'intact');
    t.is(report.entries, 2);
  });

const lies: readonly (readonly [string, TarEntry, RegExp])[] = [
  [
    'segments that overlap',
    oldGnu('abcd', 10, [
      [0, 2],
      [1, 2],
    ]),
    /segment of a sparse file/,
  ],
  ['segments out of order', version1('2\n5\n1\n0\n1\n', 'ab', '9'), /segment of a sparse file/],
  ['a segment beyond the size', version1('1\n8\n2\n', 'ab', '9'), /segment of a sparse file/],
  ['a segment whose end overflows', oldGnu('ab', 10, [['77777777777', '77777777777']]), /segment of a sparse file/],
  ['less data than the map has', version1('1\n0\n3\n', 'ab', '9'), /size of a sparse file/],
  ['more data than the map has', version1('1\n0\n1\n', 'ab', '9'), /size of a sparse file/],
  ['a negative offset', version1('1\n-1\n2\n', 'ab', '9'), /sparse file: offset/],
  ['a number of thirty digits', version1(`1\n${'0'.repeat(30)}\n2\n`, 'ab', '9'), /sparse file: offset/],
  ['a count that the data does not hold', version1('99999999\n0\n1\n', 'a', '9'), /sparse file: offset/],
  ['a map without end', version1('1\n0\n'.padEnd(512, '0'), '', '9'), /sparse file: offset/],
  ['a map without its size', pax('ab', [['.map', '0,2']]), /sparse file: offset/],
  [
    'an odd map',
    pax('ab', [
      ['.size', '2'],
      ['.map', '0,2,2'],
    ]),
    /sparse file: offset/,
  ],
  [
    'a map of words',
    pax('ab', [
      ['.size', '2'],
      ['.map', '0,two'],
    ]),
    /sparse file: offset/,
  ],
  [
    'a length before its offset',
    pax('ab', [
      ['.size', '2'],
      ['.numbytes', '2'],
      ['.offset', '0'],
    ]),
    /sparse file: offset/,
  ],
  [
    'two maps',
    pax('0\n'.padEnd(512, '\0'), [
      ['.major', '1'],
      ['.minor', '0'],
      ['.realsize', '2'],
      ['.map', '0,2'],
    ]),
    /sparse file: offset/,
  ],
  [
    'an old map behind a pax map',
    { ...oldGnu('ab', 2, [[0, 2]]), pax: { 'GNU.sparse.map': '0,2' } },
    /sparse file: offset/,
  ],
  [
    'a version that nobody has',
    pax('ab', [
      ['.major', '2'],
      ['.minor', '0'],
      ['.realsize', '2'],
    ]),
    /version of a sparse file/,
  ],
  ['an old map in a ustar header', { name: 's', type: 'S' }, /sparse file: offset/],
  [
    'a map of a directory',
    { name: 'd', type: '5', pax: { 'GNU.sparse.map': '0,2', 'GNU.sparse.size': '2' } },
    /sparse file: offset/,
  ],
  ['a size of eight exbibytes', version1('0\n', '', '9223372036854775807'), /read tar: size/],
  ['a size that no file system takes', version1('0\n', '', '4611686018427387904'), /set size: x: File too large/],
];

const refused = async (t: ExecutionContext, entry: TarEntry, message: RegExp): Promise<void> => {
  await using layers = await Layers.make();
  const { stderr } = await layers.unpackStream(tar([entry]));
  t.regex(stderr, message);
};

for (const [what, entry, message] of lies)
  test(`a sparse file that lies is refused: ${what}`, (t) => refused(t, entry, message));

test('a copy of a layer keeps holes: a file larger than the disk is copied', async (t) => {
  await using layers = await Layers.make('/dev/shm');
  const layer = await layers.unpack([version1(`1\n${2 ** 39}\n2\n`, 'ab', String(2 ** 40))]);
  const [links, to] = [join(layers.path, 'links'), join(layers.path, 'to')];
  execFileSync('mkdir', [links, to]);
  const { stderr } = await run(program, [
    'layer-copy',
    '--links',
    links,
    '--path',
    '/',
    '--to',
    to,
    '--lower',
    layer.path,
  ]);
  t.is(stderr, '');
  t.is(statSync(join(to, 'x')).size, 2 ** 40);
  t.true(statSync(join(to, 'x')).blocks < 100);
});

test('a million segments are refused before they are memory', async (t) => {
  const lines = Buffer.alloc(2_300_000 * 4, '0\n0\n');
  const data = Buffer.concat([Buffer.from('2300000\n'), lines]);
  const records = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9' };
  await refused(t, { name: 'x', data, pax: records }, /segments of a sparse file.*Argument list too long/);
});
