// What cosign 2.5.0, cosign 3.1.1 and skopeo 1.22.0 have put beside an image in docker-registry when they signed it with one key,
// and what `cosign save` and `oras copy --recursive` have made of it: critest/fixtures/signatures.json.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { codeOf } from '../../base/errors.ts';
import { startTestRegistry } from '../harness/own-registry.ts';
import { makeKey } from '../harness/signing.ts';
import { type TarEntry, tar } from '../harness/tar.ts';
import { sourceTree } from '../harness/tree.ts';
import { type ImageWorld, openWorld, testSettings } from './world.ts';

type Bytes = string | { readonly base64: string };
interface Recorded {
  /** PEM */
  readonly key: string;
  /** Of the image's manifest. */
  readonly digest: string;
  readonly image: Readonly<Record<string, Bytes>>;
  readonly repositories: Readonly<
    Record<string, { readonly tags: Readonly<Record<string, string>>; readonly blobs: Readonly<Record<string, Bytes>> }>
  >;
  readonly layouts: Readonly<
    Record<string, { readonly repository: string; readonly index: object; readonly blobs: readonly string[] }>
  >;
}

const signal = new AbortController().signal;
let recorded: Recorded;
let directory: string;
let otherKey: string;

test.before('what was recorded', async () => {
  directory = await mkdtemp('/tmp/bt-recorded-');
  recorded = JSON.parse(await readFile(join(sourceTree, 'critest/fixtures/signatures.json'), 'utf8'));
  await writeFile(join(directory, 'key.pub'), recorded.key);
  otherKey = makeKey(directory, 'other').publicFile;
});
test.after.always(() => rm(directory, { recursive: true, force: true }));

const bytesOf = (bytes: Bytes): Buffer =>
  typeof bytes === 'string' ? Buffer.from(bytes) : Buffer.from(bytes.base64, 'base64');

/** They were signed under names of the registry at 127.0.0.1:5000; a bundle has none. */
const identities: Readonly<Record<string, object>> = {
  cosign2: { type: 'exactRepository', dockerRepository: '127.0.0.1:5000/cosign2' },
  cosign3: { type: 'matchDigest' },
  skopeo: { type: 'exactReference', dockerReference: '127.0.0.1:5000/skopeo:1' },
};

let files = 0;
/** A store that wants each image signed by the recorded key, or another. */
const open = async (repository: string, keyPath = join(directory, 'key.pub')): Promise<ImageWorld> => {
  files += 1;
  const policy = join(directory, `policy-${files}.json`);
  const wanted = { type: 'sigstoreSigned', keyPath, signedIdentity: identities[repository] };
  await writeFile(policy, JSON.stringify({ default: [wanted] }));
  return openWorld({ images: { ...testSettings, policy } });
};

/** What was signed or the signature itself with one byte changed: base64 of either, or a letter of the payload. */
const altered = (text: string): string =>
  text
    .replace(
      /("dev\.cosignproject\.cosign\/signature":"M.{20})(.)/,
      (_, before, one) => `${before}${one === 'A' ? 'B' : 'A'}`,
    )
    .replace(/(\\?"sig\\?":\\?"M.{20})(.)/, (_, before, one) => `${before}${one === 'A' ? 'B' : 'A'}`);

const refused = async (t: ExecutionContext, world: ImageWorld, action: Promise<unknown>, message: RegExp) => {
  t.is(codeOf(await t.throwsAsync(action, { message })), 'permission-denied');
  t.deepEqual(await world.content(), []);
};

for (const repository of ['cosign2', 'cosign3', 'skopeo'])
  test(`what ${repository} has signed in docker-registry is pulled, by its key alone and unchanged`, async (t) => {
    await using registry = await startTestRegistry();
    const { tags, blobs } = recorded.repositories[repository] ?? { tags: {}, blobs: {} };
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const serve = (change: (text: string) => string): void => {
      for (const [digest, bytes] of Object.entries({ ...recorded.image, ...blobs })) {
        const body = typeof bytes === 'string' ? Buffer.from(change(bytes)) : bytesOf(bytes);
        for (const kind of ['blobs', 'manifests']) registry.put(`app/${kind}/${digest}`, type, body);
      }
      for (const [tag, digest] of Object.entries(tags))
        registry.put(`app/manifests/${tag}`, type, Buffer.from(change(String(blobs[digest]))));
      registry.put('app/manifests/1', type, bytesOf(recorded.image[recorded.digest] ?? ''));
    };
    const pull = ({ images }: ImageWorld) => images.pull(`${registry.host}/app:1`, undefined, { signal });
    await using world = await open(repository);
    serve(altered);
    await refused(t, world, pull(world), /no signature of sha256:\S+ is good/);
    serve((text) => text);
    await using other = await open(repository, otherKey);
    await refused(t, other, pull(other), /it was not made by a key of the policy/);
    await pull(world);
    t.is(world.images.list().length, 1);
  });

const writeRecorded = async (name: string, place: string): Promise<string> => {
  const { repository, index, blobs } = recorded.layouts[name] ?? { repository: '', index: {}, blobs: [] };
  const all = { ...recorded.image, ...recorded.repositories[repository]?.blobs };
  await mkdir(join(place, 'blobs/sha256'), { recursive: true });
  for (const digest of [...Object.keys(recorded.image), ...blobs])
    await writeFile(join(place, 'blobs/sha256', digest.slice(7)), bytesOf(all[digest] ?? ''));
  await writeFile(join(place, 'index.json'), JSON.stringify(index));
  await writeFile(join(place, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return repository;
};

async function* archiveOf(place: string, digests: readonly string[]): AsyncGenerator<Buffer> {
  const names = ['oci-layout', 'index.json', ...digests.map((digest) => `blobs/sha256/${digest.slice(7)}`)];
  yield tar(
    await Promise.all(
      names.map(async (name): Promise<TarEntry> => ({ name, data: await readFile(join(place, name)) })),
    ),
  );
}

for (const name of ['cosign2', 'cosign3', 'oras'])
  test(`a layout or an archive of ${name} brings its signatures to a load and an import`, async (t) => {
    const place = join(directory, name);
    const repository = await writeRecorded(name, place);
    const digests = [...Object.keys(recorded.image), ...(recorded.layouts[name]?.blobs ?? [])];
    const ways: Readonly<Record<string, (world: ImageWorld) => Promise<unknown>>> = {
      load: ({ images }) => images.load(place, 'signed.example/app:1', { signal }),
      archive: ({ images }) => images.load(archiveOf(place, digests), 'signed.example/app:1', { signal }),
      import: ({ images }) => images.importLayout(place, 'signed.example/app:1', signal),
    };
    for (const [way, take] of Object.entries(ways)) {
      await using other = await open(repository, otherKey);
      await refused(t, other, take(other), /it was not made by a key of the policy/);
      await using world = await open(repository);
      await take(world);
      t.deepEqual(world.images.list()[0]?.repoTags, ['signed.example/app:1'], way);
      await world.images.remove('signed.example/app:1');
      t.deepEqual(await world.content(), [], `${way}: nothing of the signatures is left`);
    }
  });
