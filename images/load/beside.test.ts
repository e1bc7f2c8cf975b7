import test from 'ava';
import { sha256 } from '../../base/digest.ts';
import { notFound } from '../../base/errors.ts';
import { besideSource } from './beside.ts';
import type { LocalSource } from './contents.ts';

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

test('more small blobs than are looked at are an error, also for who looks for the list under its tag then', async (t) => {
  const source = besideSource(sourceOf(2000), []);
  const tooMany = { code: 'resource-exhausted', message: /more than 2000 small blobs/ };
  await t.throwsAsync(source.manifest(digest.replace(':', '-'), never), { code: 'not-found' });
  await t.throwsAsync(async () => source.referrers?.(digest, never), tooMany);
  await t.throwsAsync(source.manifest(digest.replace(':', '-'), never), tooMany);
});
