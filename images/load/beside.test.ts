import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { sha256 } from '../../base/digest.ts';
import { notFound } from '../../base/errors.ts';
import { besideSource, sortEntries } from './beside.ts';
import type { LocalSource, NamedEntry } from './contents.ts';

const never = new AbortController().signal;
const digest = sha256('image');
const signature = Buffer.from(JSON.stringify({ subject: { digest }, config: { mediaType: 'x/config' } }));

/** So many blobs of no content, one of a signature, and a large one. */
const sourceOf = (count: number): LocalSource => ({
  manifest: async (text) => {
    if (text !== sha256(signature)) throw notFound('no such blob');
    return { bytes: signature, mediaType: '', digest: sha256(signature) };
  },
  check: async () => undefined,
  blobs: async function* () {
    yield { digest: sha256('large'), size: 1 << 20 };
    for (let at = 0; at < count; at += 1) yield { digest: sha256(`${at}`), size: 2 };
    yield { digest: sha256(signature), size: signature.length };
  },
  // biome-ignore lint/correctness/useYield: it is not asked for
  blob: async function* () {
    throw notFound('no such blob');
  },
});

test('what refers to an image is found among small blobs, with the type that it gives itself', async (t) => {
  const { referrers } = besideSource(sourceOf(1999), []);
  const { manifests } = JSON.parse(String((await referrers?.(digest, never))?.bytes));
  t.like(manifests, [{ digest: sha256(signature), artifactType: 'x/config', size: signature.length }]);
  t.is(manifests.length, 1);
  t.deepEqual(JSON.parse(String((await referrers?.(sha256('other'), never))?.bytes)).manifests, []);
});

test('the blobs of an archive are looked through once, however many of its images are asked for', async (t) => {
  const source = sourceOf(50);
  let walks = 0;
  const blobs: LocalSource['blobs'] = () => {
    walks += 1;
    return source.blobs();
  };
  const counted: LocalSource = { ...source, blobs };
  const { referrers } = besideSource(counted, []);
  const gone = AbortSignal.abort(new Error('the caller has gone'));
  await t.throwsAsync(async () => referrers?.(digest, gone), { message: 'the caller has gone' });
  for (const [of, count] of [
    [digest, 1],
    [sha256('other'), 0],
    [digest, 1],
  ] as const)
    t.is(JSON.parse(String((await referrers?.(of, never))?.bytes)).manifests.length, count);
  t.is(walks, 2);
});

test('more small blobs than are looked at are an error, also for who looks for the list under its tag then', async (t) => {
  const source = besideSource(sourceOf(2000), []);
  const tooMany = { code: 'resource-exhausted', message: /more than 2000 small blobs/ };
  await t.throwsAsync(source.manifest(digest.replace(':', '-'), never), { code: 'not-found' });
  await t.throwsAsync(async () => source.referrers?.(digest, never), tooMany);
  await t.throwsAsync(source.manifest(digest.replace(':', '-'), never), tooMany);
});

test('the entries of an index are looked into one after the other, and none that is large', async (t) => {
  const large = Buffer.from(JSON.stringify({ subject: { digest }, annotations: { x: 'x'.repeat(1 << 17) } }));
  const entry = (bytes: Buffer, size = bytes.length, name = ''): NamedEntry => ({
    descriptor: { mediaType: '', digest: sha256(bytes), size, annotations: {} } as unknown as NamedEntry['descriptor'],
    names: name === '' ? [] : [name],
  });
  const lying = Buffer.concat([large, Buffer.from(' ')]);
  const entries = [entry(large), entry(lying, 10), entry(signature), entry(signature, undefined, 'a.example/b:1')];
  const asked: string[] = [];
  let running = 0;
  let most = 0;
  const sorted = await sortEntries([...entries, entry(signature)], async (one) => {
    asked.push(one);
    running += 1;
    most = Math.max(most, running);
    await nextTurn();
    running -= 1;
    const bytes = one === sha256(signature) ? signature : lying;
    return { bytes, mediaType: '', digest: one };
  });
  t.deepEqual(asked, [sha256(lying), sha256(signature), sha256(signature)]);
  t.is(most, 1);
  t.deepEqual(
    sorted.entries.map((one) => entries.indexOf(one)),
    [0, 1, 3],
  );
  t.deepEqual(
    sorted.beside.map((one) => one.digest),
    [sha256(signature), sha256(signature)],
  );
});

test('what has a whole name is an image, also under a tag as of a list of what refers to it; a signature is none', async (t) => {
  const tag = `sha256-${'a'.repeat(64)}`;
  const isImage = async (refName: string, names: readonly string[]): Promise<boolean> => {
    const annotations = { 'org.opencontainers.image.ref.name': refName };
    const descriptor = { digest, size: 1 << 20, annotations } as unknown as NamedEntry['descriptor'];
    const { entries } = await sortEntries([{ descriptor, names }], async () => {
      throw notFound('nothing is asked for');
    });
    return entries.length > 0;
  };
  const [image, signed] = [`a.example/b:${tag}`, `a.example/b:${tag}.sig`];
  t.true(await isImage(image, [image]));
  t.false(await isImage(signed, [signed]));
  for (const bare of [tag, `${tag}.sig`]) t.false(await isImage(bare, []));
});
