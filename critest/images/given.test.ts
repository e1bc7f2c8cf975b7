// The policy over names that are given on the node: by loads, imports and tags. Pulls are in verify.test.ts.
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { sha256 } from '../../base/digest.ts';
import { codeOf } from '../../base/errors.ts';
import { image, layer, mediaTypes, writeLayout } from '../harness/image.ts';
import { startTestRegistry } from '../harness/own-registry.ts';
import { claim, makeKey, putSignatures, signed, type TestKey } from '../harness/signing.ts';
import { type ImageWorld, openWorld, testSettings } from './world.ts';

const signal = new AbortController().signal;
const made = image([layer([{ name: 'file', data: 'x' }])], {});
const digest = made.manifest.digest;

let directory: string;
let key: TestKey;

test.before('a key', async () => {
  directory = await mkdtemp('/tmp/bt-given-');
  key = makeKey(directory, 'key');
});
test.after.always(() => rm(directory, { recursive: true, force: true }));

let files = 0;
const policyWith = async (docker: object): Promise<string> => {
  files += 1;
  const path = join(directory, `policy-${files}.json`);
  await writeFile(path, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }], transports: { docker } }));
  return path;
};

const byKey = () => [{ type: 'sigstoreSigned', keyPath: key.publicFile, signedIdentity: { type: 'matchRepository' } }];

const open = async (docker: object): Promise<ImageWorld> =>
  openWorld({ images: { ...testSettings, policy: await policyWith(docker) } });

const layoutOf = async (name: string): Promise<string> => {
  files += 1;
  const path = join(directory, `layout-${files}`);
  await writeLayout(path, new Map([[name, made]]));
  return path;
};

const saved = async ({ images }: ImageWorld, name: string): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of images.save([name], 'oci', signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
};
async function* bytes(archive: Buffer): AsyncGenerator<Buffer> {
  yield archive;
}

const namesIn = ({ images }: ImageWorld): readonly string[] => images.list().flatMap(({ repoTags }) => repoTags);

/** Refused, with nothing left of it. */
const refuses = async (t: ExecutionContext, world: ImageWorld, action: () => Promise<unknown>, message: RegExp) => {
  const before = await world.content();
  const error = await t.throwsAsync(action(), { message });
  t.is(codeOf(error), 'permission-denied');
  t.deepEqual(await world.content(), before);
};

const unsigned =
  /secure\.example\/team\/app:1: the policy of "secure\.example" refuses it: .* has no signature \(pull it from/;

test('load, import and tag give no name that the policy wants signed; other names they give', async (t) => {
  await using world = await open({ 'secure.example': byKey(), 'never.example': [{ type: 'reject' }] });
  const { images } = world;
  const path = await layoutOf('secure.example/team/app:1');
  await refuses(t, world, () => images.importLayout(path, undefined, signal), unsigned);
  await refuses(t, world, () => images.load(path, undefined, { signal }), unsigned);
  await images.importLayout(path, 'free.example/app:1', signal);
  await refuses(t, world, () => images.tag('free.example/app:1', 'secure.example/team/app:1'), unsigned);
  await refuses(t, world, () => images.tag(made.id, 'never.example/app'), /refuses it: nothing of it may come in/);
  await images.tag('free.example/app:1', 'free.example/app:2');
  const archive = await saved(world, 'free.example/app:1');
  await refuses(t, world, () => images.load(bytes(archive), 'secure.example/team/app:1', { signal }), unsigned);
  await images.load(bytes(archive), 'free.example/app:3', { signal });
  t.deepEqual(namesIn(world), ['free.example/app:1', 'free.example/app:2', 'free.example/app:3']);
});

test('a layout brings signatures under the tags of its index, each for its own image and name', async (t) => {
  const name = 'secure.example/team/app';
  const tag = `${digest.replace(':', '-')}.sig`;
  const other = image([layer([{ name: 'file', data: 'other' }])], {});
  const put = async (signedDigest: string, refName: string): Promise<string> => {
    const path = await layoutOf(`${name}:1`);
    const blobs = new Map<string, Buffer>();
    const add = (bytes: Buffer) => {
      blobs.set(sha256(bytes), bytes);
      return { digest: sha256(bytes), size: bytes.length };
    };
    const { payload, signature } = signed(key, claim(name, signedDigest));
    const annotations = { 'dev.cosignproject.cosign/signature': signature };
    const layers = [{ mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json', ...add(payload), annotations }];
    const config = { mediaType: mediaTypes.config, ...add(Buffer.from('{}')) };
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers };
    const entry = { mediaType: mediaTypes.manifest, ...add(Buffer.from(JSON.stringify(manifest))) };
    for (const [id, bytes] of blobs) await writeFile(join(path, 'blobs/sha256', id.slice(7)), bytes);
    const index = JSON.parse(await readFile(join(path, 'index.json'), 'utf8'));
    index.manifests.push({ ...entry, annotations: { 'org.opencontainers.image.ref.name': refName } });
    await writeFile(join(path, 'index.json'), JSON.stringify(index));
    return path;
  };
  await using world = await open({ 'secure.example': byKey() });
  const { images } = world;
  const take = (path: string, as?: string) => () => images.load(path, as, { signal });
  const isFor = /no signature of sha256:\S+ is good: it is for /;
  await refuses(t, world, take(await put(other.manifest.digest, tag)), isFor);
  await refuses(t, world, take(await put(digest, tag), 'secure.example/other:1'), isFor);
  await refuses(t, world, take(await put(digest, tag.replace(/.{5}\.sig/, '00000.sig'))), unsigned);
  await images.load(await put(digest, tag), undefined, { signal });
  await images.remove(made.id);
  await images.load(await put(digest, `${name}:${tag}`), undefined, { signal });
  t.deepEqual(namesIn(world), [`${name}:1`]);
});

test('one image of an archive that the policy refuses keeps the others out as well', async (t) => {
  await using world = await open({ 'secure.example': byKey() });
  const path = join(directory, 'both');
  const other = image([layer([{ name: 'file', data: 'other' }])], {});
  await writeLayout(path, new Map([['free.example/a:1', other], ['secure.example/team/app:1', made]])); // biome-ignore format: short
  await refuses(t, world, () => world.images.load(path, undefined, { signal }), unsigned);
  t.deepEqual(namesIn(world), []);
});

test('what was verified when it was pulled may be saved and loaded again, and no other image under its name', async (t) => {
  await using registry = await startTestRegistry();
  registry.add('1', made);
  putSignatures(registry, 'app', digest, [signed(key, claim(`${registry.host}/app`, digest))]);
  const name = `${registry.host}/app:1`;
  await using world = await open({ [registry.host]: byKey() });
  await world.images.pull(name, undefined, { signal });
  const archive = await saved(world, name);
  const [loaded] = await world.images.load(bytes(archive), undefined, { signal });
  t.deepEqual(loaded?.names, [name]);
  const other = image([layer([{ name: 'file', data: 'other' }])], {});
  const path = join(directory, 'other');
  await writeLayout(path, new Map([[name, other]]));
  await refuses(t, world, () => world.images.importLayout(path, undefined, signal), /has no signature/);
  t.is(world.images.resolve(name)?.id, made.id);
});

test("what only a namespace's policy has let in is not let in for the node by a tag, a load or an import of its name", async (t) => {
  await using registry = await startTestRegistry();
  registry.add('1', made);
  const name = `${registry.host}/app:1`;
  const policyDir = join(directory, 'namespaces');
  await mkdir(policyDir);
  await writeFile(join(policyDir, 'dev.json'), JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
  const policy = await policyWith({ [registry.host]: byKey() });
  await using world = await openWorld({ images: { ...testSettings, policy, policyDir } });
  const { images } = world;
  await images.pull(name, undefined, { signal, namespace: 'dev' });
  const archive = await saved(world, name);
  const path = await layoutOf(name);
  await refuses(t, world, () => images.tag(made.id, name), /has no signature/);
  await refuses(t, world, () => images.load(bytes(archive), undefined, { signal }), /has no signature/);
  await refuses(t, world, () => images.importLayout(path, undefined, signal), /has no signature/);
  const image = images.resolve(name);
  if (image === undefined) return t.fail();
  t.notThrows(() => images.checkAllowed(image, 'dev', name));
  t.throws(() => images.checkAllowed(image, 'prod', name), { message: /has not let it in/ });
});

test('a verifier program is asked about names that are given', async (t) => {
  const path = join(directory, 'program');
  await writeFile(
    path,
    `#!/bin/sh\necho "$*" >>${directory}/asked\n[ "$2" = asked.example/good:1 ] || { echo no; exit 1; }\n`,
  );
  await chmod(path, 0o755);
  await using world = await open({ 'asked.example': [{ type: 'program', path }] });
  await world.images.importLayout(await layoutOf('asked.example/good:1'), undefined, signal);
  await refuses(t, world, () => world.images.tag(made.id, 'asked.example/bad'), /program: exit 1: no \(pull it from/);
  const asked = (await readFile(join(directory, 'asked'), 'utf8')).trim().split('\n');
  t.deepEqual(
    asked.map((line) => line.split(' ').slice(0, 4).join(' ')),
    [`-name asked.example/good:1 -digest ${digest}`, `-name asked.example/bad:latest -digest ${digest}`],
  );
});

test('the policy of a namespace decides alone about what its pods may use, also of what others have pulled', async (t) => {
  await using registry = await startTestRegistry();
  registry.add('1', made);
  const name = `${registry.host}/app:1`;
  const policyDir = await mkdtemp(join(directory, 'namespaces-'));
  const rules = { default: [{ type: 'insecureAcceptAnything' }], transports: { docker: { [registry.host]: byKey() } } };
  await writeFile(join(policyDir, 'team.json'), JSON.stringify(rules));
  await using first = await openWorld({ images: { ...testSettings, policyDir } });
  const pull = ({ images }: ImageWorld, namespace?: string) =>
    images.pull(name, undefined, { signal, ...(namespace !== undefined && { namespace }) });
  const use = ({ images }: ImageWorld, namespace: string, asked = name) => {
    const found = images.resolve(name);
    if (found !== undefined) images.checkAllowed(found, namespace, asked);
  };
  const refused = { message: /the policy of namespace team has not let it in/ };
  await t.throwsAsync(pull(first, 'team'), { message: /refuses it: .* has no signature/ });
  await pull(first, 'other');
  use(first, 'other');
  use(first, '');
  t.throws(() => use(first, 'team'), refused);
  t.throws(() => use(first, 'team', ''), refused);
  putSignatures(registry, 'app', digest, [signed(key, claim(`${registry.host}/app`, digest))]);
  t.throws(() => use(first, 'team'), refused);
  await pull(first, 'team');
  use(first, 'team');
  await using again = await first.reopen();
  use(again, 'team');
  use(again, 'other');
  await again.images.tag(name, 'free.example/app:1');
  use(again, 'team', 'free.example/app:1');
  // Another image under the name begins anew.
  registry.add('1', image([layer([{ name: 'file', data: 'new' }])], {}));
  await pull(again);
  t.throws(() => use(again, 'team'), refused);
});

test('what came by the word of a namespace alone is not let in by the policy of the node', async (t) => {
  await using registry = await startTestRegistry();
  registry.add('1', made);
  const name = `${registry.host}/app:1`;
  const policyDir = await mkdtemp(join(directory, 'namespaces-'));
  await writeFile(join(policyDir, 'lax.json'), JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
  const policy = await policyWith({ [registry.host]: byKey() });
  await using world = await openWorld({ images: { ...testSettings, policy, policyDir } });
  await world.images.pull(name, undefined, { signal, namespace: 'lax' });
  const found = world.images.resolve(name);
  t.is(found?.id, made.id);
  if (found === undefined) return;
  world.images.checkAllowed(found, 'lax', name);
  t.throws(() => world.images.checkAllowed(found, 'default', name), { message: /the node's policy has not let it in/ });
  await refuses(t, world, () => world.images.tag(name, `${registry.host}/app:2`), /has no signature/);
});

test('a directory of policies that is not there, or has what is no namespace’s, is told at the start', async (t) => {
  const start = (policyDir: string) => openWorld({ images: { ...testSettings, policyDir } });
  await t.throwsAsync(start(join(directory, 'nowhere')), { message: /read .*nowhere: / });
  const policyDir = await mkdtemp(join(directory, 'namespaces-'));
  await writeFile(join(policyDir, 'Team.json'), '{}');
  await t.throwsAsync(start(policyDir), { message: /Team\.json: is not NAMESPACE\.json/ });
  await rm(join(policyDir, 'Team.json'));
  await writeFile(join(policyDir, 'team.json'), '{');
  await writeFile(join(policyDir, '.swp'), '{');
  await t.throwsAsync(start(policyDir), { message: /team\.json: not JSON/ });
});
