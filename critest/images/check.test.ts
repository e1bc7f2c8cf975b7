import { execFileSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import {
  chmod,
  chown,
  link,
  lutimes,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Digest, digestParts, sha256 } from '../../base/digest.ts';
import type { Finding } from '../../images/check.ts';
import type { Helper } from '../../images/types.ts';
import { artifact } from '../harness/artifact.ts';
import { type Image, image, layer } from '../harness/image.ts';
import { deleteGarbage, helperWith, type ImageWorld, openWithRegistry, type RegistryWorld } from './world.ts';

const never = new AbortController().signal;
const container = 'c'.repeat(64);

// All that a tree can have. `twice` is there two times, so that what was written is not what is there; the parent of
// `made/up` has no entry, so that there is a fix-up layer.
const base = layer([
  { name: 'd/', type: 'directory', mode: 0o1777 },
  { name: 'd/file', data: 'some content', uid: 5 },
  { name: 'd/second', data: 'x'.repeat(10_000), pax: { 'SCHILY.xattr.user.note': 'kept' } },
  { name: 'd/linked', type: 'hardlink', link: 'd/file' },
  { name: 'd/link', type: 'symlink', link: 'file' },
  { name: 'd/zeros', data: Buffer.alloc(20_000) },
  { name: 'd/empty' },
  { name: 'made/', type: 'directory', mode: 0o700 },
]);
const upper = layer([
  { name: 'twice', data: 'first' },
  { name: 'twice', data: 'second' },
  { name: 'made/up', data: 'up' },
  { name: '.wh.gone' },
]);
const alone = layer([{ name: 'alone', data: 'alone' }]);
const two = image([base, upper], {});
const other = image([alone], {});

type At = RegistryWorld;

const setUp = async (options: Parameters<typeof openWithRegistry>[1] = {}): Promise<At> => {
  const at = await openWithRegistry({ two, other }, options);
  await at.pull('two');
  await at.pull('other');
  return at;
};

const check = async ({ images }: ImageWorld, repair = false): Promise<readonly Finding[]> => {
  const findings: Finding[] = [];
  let [end, last] = [0, 0];
  for await (const { finding, offset, total } of images.check({ repair, signal: never })) {
    [end, last] = [total, offset];
    if (finding !== undefined) findings.push(finding);
  }
  if (end !== last) throw new Error(`checked ${last} of ${end} bytes`);
  return findings;
};

const fs = ({ root }: ImageWorld, { diffId }: { diffId: Digest }, ...path: string[]): string =>
  join(root, 'images/layers', digestParts(diffId).hex, 'fs', ...path);
const blob = ({ root }: ImageWorld, digest: Digest): string =>
  join(root, 'images/blobs/sha256', digestParts(digest).hex);

/** As a disk does it: no time changes. */
const keepingTimes = async (path: string, action: () => Promise<unknown>): Promise<void> => {
  const [file, directory] = [lstatSync(path), lstatSync(join(path, '..'))];
  await action();
  for (const [at, { atime, mtime }] of [
    [path, file],
    [join(path, '..'), directory],
  ] as const)
    await lutimes(at, atime, mtime).catch(() => undefined);
};

const flip = (path: string): Promise<void> =>
  keepingTimes(path, async () => {
    const bytes = await readFile(path);
    const at = Math.floor(bytes.length / 2);
    await using file = await open(path, 'r+');
    await file.write(Buffer.from([(bytes[at] ?? 0) ^ 1]), 0, 1, at);
  });

const ids = ({ images }: ImageWorld): readonly string[] => images.list().map(({ id }) => id);

test('nothing is wrong with what was pulled, also after a restart, and a check changes nothing', async (t) => {
  await using at = await setUp();
  const before = await at.world.content();
  t.true(before.some((name) => name.startsWith('fixups/')));
  t.deepEqual(await check(at.world, true), []);
  t.deepEqual(await at.world.content(), before);
  await using again = await at.world.reopen();
  t.deepEqual(await check(again), []);
});

test('a hole reads as zeros and is them', async (t) => {
  await using at = await setUp();
  const path = fs(at.world, base, 'd/zeros');
  await keepingTimes(path, async () => {
    await truncate(path, 0);
    await truncate(path, 20_000);
  });
  t.deepEqual(await check(at.world), []);
});

const damages: Readonly<Record<string, readonly [RegExp, (path: (...of: string[]) => string) => Promise<unknown>]>> = {
  'a flipped bit': [/other content/, (path) => flip(path('d/second'))],
  'a flipped bit of a file with two names': [/other content/, (path) => flip(path('d/file'))],
  'content where there were zeros': [
    /other content/,
    (path) =>
      keepingTimes(path('d/zeros'), async () => {
        await using file = await open(path('d/zeros'), 'r+');
        await file.write('x', 19_999);
      }),
  ],
  'a file that is shorter': [
    /other content/,
    (path) => keepingTimes(path('d/second'), () => truncate(path('d/second'), 9999)),
  ],
  'a file that is longer by zeros': [
    /other content/,
    (path) => keepingTimes(path('d/zeros'), () => truncate(path('d/zeros'), 20_001)),
  ],
  'another mode': [/attributes/, (path) => chmod(path('d/file'), 0o4644)],
  'another owner': [/attributes/, (path) => chown(path('d'), 1, 0)],
  'another time': [/attributes/, (path) => lutimes(path('d/link'), 1, 1)],
  'another root': [/attributes/, (path) => chmod(path(), 0o777)],
  'another link': [
    /attributes/,
    (path) =>
      keepingTimes(path('d/link'), async () => {
        await unlink(path('d/link'));
        await symlink('fill', path('d/link'));
      }),
  ],
  'another name': [
    /attributes/,
    (path) => keepingTimes(path('d/empty'), () => rename(path('d/empty'), path('d/emptx'))),
  ],
  'a lost extended attribute': [
    /attributes/,
    async (path) =>
      execFileSync('python3', ['-c', 'import os,sys; os.removexattr(sys.argv[1], "user.note")', path('d/second')]),
  ],
  'a lost file': [/has \d+ files/, (path) => unlink(path('d/empty'))],
  'a file too many': [/has \d+ files/, (path) => writeFile(path('d/more'), '')],
  'another name for a file': [
    /attributes/,
    (path) => keepingTimes(path('d'), () => link(path('d/file'), path('d/third'))),
  ],
  'a lost tree': [/not there/, (path) => rm(path(), { recursive: true })],
};

for (const [what, [problem, damage]] of Object.entries(damages))
  test(`a layer with ${what} is found, --repair drops its image alone, and the next pull makes it right`, async (t) => {
    await using at = await setUp();
    await damage((...of) => fs(at.world, base, ...of));
    const [finding, ...more] = await check(at.world);
    t.deepEqual(more, []);
    t.like(finding, { kind: 'layer', subject: base.diffId, containers: [], repaired: false });
    t.regex(finding?.problem ?? '', problem);
    t.is(finding?.owners.length, 1);
    t.deepEqual(ids(at.world).toSorted(), [two.id, other.id].toSorted(), 'without --repair nothing goes');
    t.true((await check(at.world, true))[0]?.repaired);
    t.deepEqual(ids(at.world), [other.id]);
    t.deepEqual(await check(at.world), []);
    await at.world.images.pull(`${at.registry.host}/app:two`, undefined, { signal: never });
    t.deepEqual(await check(at.world), []);
  });

test('a fix-up layer is checked as well', async (t) => {
  await using at = await setUp();
  const [name = ''] = (await at.world.content()).filter((each) => each.startsWith('fixups/'));
  await chmod(join(at.world.root, 'images', name, 'fs/made'), 0o777);
  t.like((await check(at.world))[0], { kind: 'fixup' });
  t.true((await check(at.world, true))[0]?.repaired);
  t.deepEqual(ids(at.world), [other.id]);
});

const wrongBlob = async (t: ExecutionContext, at: At, digest: Digest, damage: (path: string) => Promise<unknown>) => {
  await damage(blob(at.world, digest));
  t.like((await check(at.world))[0], { kind: 'blob', subject: digest, repaired: false });
  t.true((await check(at.world, true))[0]?.repaired);
  t.deepEqual(await check(at.world), []);
};

const blobDamages = { 'a flipped bit': flip, 'a lost end': (path: string) => truncate(path, 5), 'no file': unlink };

for (const [what, damage] of Object.entries(blobDamages)) {
  test(`of a compressed layer with ${what} only the blob is dropped: its image still works`, async (t) => {
    await using at = await setUp();
    await wrongBlob(t, at, base.digest, damage);
    t.is(ids(at.world).length, 2);
  });
  for (const [name, digestOf] of [
    ['configuration', ({ id }: Image) => id],
    ['manifest', ({ manifest }: Image) => manifest.digest],
  ] as const)
    test(`with a ${name} with ${what} its image is dropped, and it alone`, async (t) => {
      await using at = await setUp();
      await wrongBlob(t, at, digestOf(two), damage);
      t.deepEqual(ids(at.world), [other.id]);
    });
}

test('what lies in the place of a blob and is no file is a wrong blob, and is never waited for', async (t) => {
  await using at = await setUp();
  for (const put of [
    (path: string) => mkdir(path),
    (path: string) => symlink('/dev/zero', path),
    async (path: string) => execFileSync('mkfifo', [path]),
  ]) {
    await wrongBlob(t, at, base.digest, async (path) => {
      await rm(path);
      await put(path);
    });
    t.is(ids(at.world).length, 2);
    await at.world.images.remove(two.id);
    await at.pull('two');
  }
});

const recordsOf = ({ registry, world: { root } }: At) => ({
  image: join(root, 'images/images', `${digestParts(two.id).hex}.json`),
  name: join(root, 'images/names', `${digestParts(sha256(`${registry.host}/app:two`)).hex}.json`),
  lease: join(root, 'images/leases', `${container}.json`),
});
/** One of them a record of each kind has, and reads. */
const swapped = { size: 1, target: other.manifest.digest, volumes: [other.id] };

const rewritten = async (path: string, change: (record: Record<string, unknown>) => object): Promise<void> =>
  writeFile(path, JSON.stringify(change(JSON.parse(await readFile(path, 'utf8')))));

test('a record that the next start would miss is found while the daemon knows better, and --repair writes it again', async (t) => {
  await using at = await setUp();
  await at.world.images.mounts(two.id, container);
  const records = recordsOf(at);
  const damages = [
    [/gone from the disk/, (path: string) => rm(path)],
    [/cannot be read/, (path: string) => truncate(path, 20)],
    [/says something else/, (path: string) => rewritten(path, (record) => ({ ...record, ...swapped }))],
  ] as const;
  for (const [problem, damage] of damages)
    for (const [kind, path] of Object.entries(records)) {
      await damage(path);
      const [finding, ...more] = await check(at.world);
      t.like(finding, { kind: kind as 'image', repaired: false });
      t.regex(finding?.problem ?? '', problem);
      t.deepEqual(more, []);
      t.true((await check(at.world, true))[0]?.repaired);
      t.deepEqual(await check(at.world), []);
    }
  await using again = await at.world.reopen();
  t.deepEqual(await check(again), []);
  t.deepEqual(again.images.leases(), [container]);
  t.is(again.images.resolve(`${at.registry.host}/app:two`)?.id, two.id);
});

test('a record that says something else than the documents of its image is found, and the next pull makes it right', async (t) => {
  await using at = await setUp();
  const path = recordsOf(at).image;
  const changes: readonly ((record: Record<string, unknown>) => object)[] = [
    ({ config, ...rest }) => ({ ...rest, config: { ...(config as object), User: '1000' } }),
    ({ lowers, ...rest }) => ({ ...rest, lowers: (lowers as unknown[]).slice(1) }),
    ({ layers, lowers, ...rest }) => ({ ...rest, layers: (layers as unknown[]).slice(1), lowers }),
    (record) => ({ ...record, annotations: { of: 'another' } }),
    (record) => ({ ...record, manifest: other.manifest.digest }),
  ];
  let { world } = at;
  for (const change of changes) {
    await rewritten(path, change);
    world = await world.reopen();
    const [finding, ...more] = await check(world, true);
    t.like(finding, { kind: 'image', subject: two.id, repaired: true });
    t.regex(finding?.problem ?? '', /^its record /);
    t.deepEqual(more, []);
    t.deepEqual(ids(world), [other.id]);
    await world.images.pull(`${at.registry.host}/app:two`, undefined, { signal: never });
    t.deepEqual(await check(world), []);
  }
  await world[Symbol.asyncDispose]();
});

test('A8: a record in the file of another, or whose layers nobody would mount, is set aside at the start', async (t) => {
  await using at = await setUp();
  const { image: path, name } = recordsOf(at);
  await rewritten(name, (record) => ({ ...record, name: 'docker.io/library/other:1' }));
  await rewritten(path, (record) => ({ ...record, lowers: [] }));
  await using again = await at.world.reopen();
  t.deepEqual(ids(again), [other.id]);
  t.is(again.images.resolve('docker.io/library/other:1'), undefined);
  t.is(again.warnings.filter((text) => text === 'broken record is set aside').length, 2);
});

test('what a container uses is told with the container and stays', async (t) => {
  await using at = await setUp();
  await at.world.images.mounts(two.id, container);
  await flip(fs(at.world, base, 'd/second'));
  const [finding] = await check(at.world, true);
  t.like(finding, { kind: 'layer', containers: [container], repaired: false });
  t.true(ids(at.world).includes(two.id));
  await at.world.images.release(container);
  t.true((await check(at.world, true))[0]?.repaired);
  t.deepEqual(ids(at.world), [other.id]);
});

test('what cannot be looked at is told, and no repair drops it: the fault is the machine’s', async (t) => {
  const real = helperWith(() => undefined);
  let fails: object | undefined;
  const run: Helper['run'] = async (request) => {
    if (request.argv[1] !== 'tree-usage' || fails === undefined) return real.run(request);
    return { code: 1, signal: 0, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), ...fails };
  };
  await using at = await setUp({ helper: { run } });
  for (const how of [{ code: 0, signal: 9 }, { stderr: Buffer.from('open x: Too many open files\n') }]) {
    const before = await at.world.content();
    fails = how;
    const found = await check(at.world, true);
    fails = undefined;
    t.true(found.length > 0);
    t.true(
      found.every(({ repaired, problem }) => !repaired && problem.startsWith('could not be checked, and stays: ')),
    );
    t.deepEqual(await at.world.content(), before);
  }
});

test('what nobody knows is told and left alone', async (t) => {
  await using at = await setUp();
  await writeFile(join(at.world.root, 'images/layers/mine'), 'notes');
  await writeFile(join(at.world.root, 'images/names/x.json.broken'), '{');
  const found = await check(at.world, true);
  t.deepEqual(
    found.map(({ kind, subject, repaired }) => [kind, subject, repaired]),
    [
      ['orphan', 'layers/mine', false],
      ['orphan', 'names/x.json.broken', false],
    ],
  );
  t.is(await readFile(join(at.world.root, 'images/layers/mine'), 'utf8'), 'notes');
});

test('images that come and go while a check runs are no finding', async (t) => {
  await using at = await setUp();
  const busy = (async () => {
    for (let round = 0; round < 5; round += 1) {
      await at.world.images.remove(two.id);
      await at.world.images.pull(`${at.registry.host}/app:two`, undefined, { signal: never });
    }
  })();
  for (let round = 0; round < 3; round += 1) t.deepEqual(await check(at.world), []);
  await busy;
  await deleteGarbage(at.world.images);
  t.deepEqual(await check(at.world), []);
});

const model = artifact([
  { data: 'config', title: 'config.json' },
  { data: 'w'.repeat(10_000), title: 'weights/1.bin' },
]);

test('of an artifact names and files are checked, and a wrong file takes its volume with it', async (t) => {
  await using at = await setUp();
  at.registry.add('model', model);
  const pull = () => at.world.images.pull(`${at.registry.host}/app:model`, undefined, { signal: never });
  await pull();
  t.deepEqual(await check(at.world), []);
  const tree = at.world.images.layersOf(model.id).lowers[0] ?? '';
  await flip(join(tree, 'weights/1.bin'));
  t.like((await check(at.world, true))[0], { kind: 'blob', repaired: true });
  t.false(ids(at.world).includes(model.id));
  await pull();
  t.deepEqual(await check(at.world), []);
  await unlink(join(tree, 'config.json'));
  t.like((await check(at.world, true))[0], { kind: 'layer', repaired: true });
});
