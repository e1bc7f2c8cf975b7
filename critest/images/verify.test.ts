import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Digest, sha256 } from '../../base/digest.ts';
import { codeOf } from '../../base/errors.ts';
import { asKubeletWants } from '../../images/index.ts';
import { artifact } from '../harness/artifact.ts';
import { architecture, image, layer } from '../harness/image.ts';
import { startTestRegistry, type TestRegistry } from '../harness/own-registry.ts';
import { claim, makeKey, putSignatures, type Signed, sign, signed, type TestKey } from '../harness/signing.ts';
import { type ImageWorld, openWorld, testSettings } from './world.ts';

const never = new AbortController().signal;
const made = image([layer([{ name: 'file', data: 'x' }])], {});
const other = image([layer([{ name: 'file', data: 'other' }])], {});
const digest = made.manifest.digest;

let directory: string;
let ec: TestKey;
let wrong: TestKey;
let second: TestKey;
let rsa: TestKey;
let ed: TestKey;

test.before('keys', async () => {
  directory = await mkdtemp('/tmp/bt-verify-');
  ec = makeKey(directory, 'ec');
  wrong = makeKey(directory, 'wrong');
  second = makeKey(directory, 'second');
  rsa = makeKey(directory, 'rsa', 'rsa');
  ed = makeKey(directory, 'ed', 'ed25519');
});

test.after.always(() => rm(directory, { recursive: true, force: true }));

interface Place extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly world: ImageWorld;
  pull(name?: string): Promise<string>;
  sign(signatures: readonly Signed[], of?: Digest): void;
}

let files = 0;

/** A registry with the image, and a store with a policy made of what `rules` gives for that registry's host. */
const open = async (rules: (host: string) => object): Promise<Place> => {
  const registry = await startTestRegistry();
  registry.add('1', made);
  files += 1;
  const policy = join(directory, `policy-${files}.json`);
  const docker = rules(registry.host);
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }], transports: { docker } }));
  const world = await openWorld({ images: { ...testSettings, policy } });
  return {
    registry,
    world,
    pull: (name = 'app:1') => world.images.pull(`${registry.host}/${name}`, undefined, { signal: never }),
    sign: (signatures, of = digest) => void putSignatures(registry, 'app', of, signatures),
    [Symbol.asyncDispose]: async () => {
      await registry[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
};

const repository = { signedIdentity: { type: 'matchRepository' } };
const byKey =
  (key: TestKey, more: object = repository) =>
  (host: string) => ({
    [`${host}/app`]: [{ type: 'sigstoreSigned', keyPath: key.publicFile, ...more }],
  });

/** Refused, as the kubelet has to be told, with no blob asked for but payloads, and nothing left. */
const refuses = async (t: ExecutionContext, at: Place, message: RegExp, name?: string): Promise<void> => {
  const before = await at.world.content();
  at.registry.requests.length = 0;
  const error = await t.throwsAsync(at.pull(name), { message });
  t.is(codeOf(error), 'permission-denied');
  const told = asKubeletWants(error);
  t.is(codeOf(told), 'unknown');
  t.regex(told instanceof Error ? told.message : '', /^SignatureValidationFailed: pull image /);
  const paths = at.registry.requests.map(({ path }) => path);
  for (const blob of made.blobs.keys())
    t.false(
      paths.some((path) => path.endsWith(`/blobs/${blob}`)),
      blob,
    );
  t.deepEqual(await at.world.content(), before);
};

for (const kind of ['ec', 'rsa', 'ed25519'] as const)
  test(`an image that a key of the policy has signed is pulled by tag and by digest: ${kind}`, async (t) => {
    const key = { ec, rsa, ed25519: ed }[kind];
    await using at = await open(byKey(key));
    at.sign([signed(key, claim(`${at.registry.host}/app`, digest))]);
    t.is(await at.pull(), made.id);
    t.is(await at.pull(`app@${digest}`), made.id);
    t.is(at.world.images.resolve(`${at.registry.host}/app:1`)?.id, made.id);
  });

test('an image without a signature, and one whose signature is by another key, is refused', async (t) => {
  await using at = await open(byKey(ec));
  await refuses(t, at, new RegExp(`policy of ".*/app" refuses it: ${digest} has no signature`));
  at.sign([signed(wrong, claim(`${at.registry.host}/app`, digest))]);
  await refuses(t, at, /not made by a key of the policy/);
  await refuses(t, at, /not made by a key of the policy/, `app@${digest}`);
});

test('a good signature for another image, or for another repository, is refused', async (t) => {
  await using at = await open(byKey(ec));
  const { host } = at.registry;
  at.sign([signed(ec, claim(`${host}/app`, other.manifest.digest))]);
  await refuses(t, at, new RegExp(`it is for ${other.manifest.digest}`));
  at.sign([signed(ec, claim(`${host}/other`, digest))]);
  await refuses(t, at, new RegExp(`it is for ${host}/other`));
  at.sign([signed(ec, claim('app', digest))]);
  await refuses(t, at, /it is for app/);
});

test('the signature of one image does not serve for another one under the same tag', async (t) => {
  await using at = await open(byKey(ec));
  const good = [signed(ec, claim(`${at.registry.host}/app`, digest))];
  at.sign(good);
  at.registry.add('1', other);
  await refuses(t, at, /has no signature/);
  at.sign(good, other.manifest.digest);
  await refuses(t, at, new RegExp(`it is for ${digest}`));
});

test('of several signatures one good one is enough, and what is no signature beside it does no harm', async (t) => {
  await using at = await open(byKey(ec));
  const name = `${at.registry.host}/app`;
  const good = claim(name, digest);
  const bad: Signed[] = [
    signed(wrong, good),
    { payload: good, signature: 'AAAA' },
    { payload: good, signature: '' },
    { payload: Buffer.from('no json'), signature: 'x'.repeat(10_000) },
    { payload: Buffer.alloc(140_000, ' '), signature: 'AAAA' },
    signed(ec, claim(name, other.manifest.digest)),
  ];
  at.sign(bad);
  await refuses(t, at, /no signature of .* is good/);
  const fetched = (data: Buffer): boolean => at.registry.requests.some(({ path }) => path.endsWith(sha256(data)));
  t.deepEqual(
    bad.map(({ payload }) => fetched(payload)),
    [true, true, true, false, false, true],
    'not what is too long',
  );
  at.sign([...bad, signed(ec, good)]);
  t.is(await at.pull(), made.id);
});

test('a payload that is garbage is refused though its signature is right', async (t) => {
  await using at = await open(byKey(ec));
  const name = `${at.registry.host}/app`;
  const good = claim(name, digest).toString();
  for (const [text, reason] of [
    ['', /payload/],
    ['not json', /not JSON/],
    ['[]', /not a JSON object/],
    ['{}', /no critical part/],
    [good.replace('"type"', '"tipe"'), /critical.tipe is not known/],
    [good.replace('cosign container', 'another'), /critical.type/],
    [good.replace('{"identity"', '{"identity":{"docker-reference":"x"},"identity"'), /"identity" twice/],
    [good.replace('sha256:', 'sha256:0'), /not a digest/],
    [good.replace(name, '../x'), /its name is none/],
    [good.replace('"critical"', '"Critical"'), /no critical part/],
  ] as const) {
    at.sign([signed(ec, Buffer.from(text))]);
    await refuses(t, at, reason);
  }
});

test('signatures whose manifest or payload is not what it should be, or that are too many, refuse the image', async (t) => {
  await using at = await open(byKey(ec));
  const good = signed(ec, claim(`${at.registry.host}/app`, digest));
  at.sign([good]);
  at.registry.put(
    `app/blobs/${sha256(good.payload)}`,
    'x',
    Buffer.from(good.payload.toString().replace('null', '1234')),
  );
  await refuses(t, at, /content has the digest/);
  at.sign(Array<Signed>(65).fill(good));
  await refuses(t, at, /65 of them, at most 64/);
  at.registry.put(`app/manifests/${digest.replace(':', '-')}.sig`, 'x', Buffer.from('{"layers":7}'));
  await refuses(t, at, /layers is not a list/);
});

test('a registry that does not answer for the signature is not taken for one that has none', async (t) => {
  await using at = await open(byKey(ec));
  at.registry.behave((request, response, next) =>
    request.url?.endsWith('.sig') === true ? void response.writeHead(503).end() : next(),
  );
  const error = await t.throwsAsync(at.pull());
  t.is(codeOf(error), 'unavailable');
  at.registry.behave((request, response, next) =>
    request.url?.endsWith('.sig') === true ? void response.writeHead(429, { 'retry-after': '3600' }).end() : next(),
  );
  const limited = await t.throwsAsync(at.pull());
  t.is(codeOf(limited), 'resource-exhausted');
  t.regex(String(asKubeletWants(limited)), /RegistryUnavailable: pull image /);
  at.registry.behave((request, response, next) =>
    request.url?.endsWith('.sig') === true ? void response.writeHead(403).end() : next(),
  );
  await refuses(t, at, /no signature of .* is good: manifest sha256-.*\.sig/);
  const good = signed(ec, claim(`${at.registry.host}/app`, digest));
  at.sign([good]);
  at.registry.behave((request, response, next) =>
    request.url?.endsWith(sha256(good.payload)) === true ? void response.writeHead(503).end() : next(),
  );
  t.is(codeOf(await t.throwsAsync(at.pull())), 'unavailable', 'its payload');
  t.deepEqual(await at.world.content(), []);
});

test('a signature that refers to its image is found by the registry’s list, or by the one under a tag', async (t) => {
  await using at = await open(byKey(ec));
  const name = `${at.registry.host}/app`;
  const artifactType = 'application/vnd.dev.cosign.artifact.sig.v1+json';
  const entry = (signature: Signed) => {
    const found = putSignatures(at.registry, 'app', digest, [signature], 'unused');
    return { mediaType: 'application/vnd.oci.image.manifest.v1+json', size: 1, digest: found, artifactType };
  };
  const index = (...manifests: object[]) =>
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }));
  const bad = entry(signed(wrong, claim(name, digest)));
  const good = entry(signed(ec, claim(name, digest)));
  const list = `app/referrers/${digest}`;
  const tag = `app/manifests/${digest.replace(':', '-')}`;
  at.registry.put(list, 'application/json', index({ ...good, artifactType: 'application/spdx+json' }, bad));
  await refuses(t, at, /not made by a key/);
  at.registry.put(list, 'application/json', index(bad, good));
  t.is(await at.pull(), made.id);
  await at.world.images.remove(made.id);
  at.registry.put(list, 'application/json', index(...Array<object>(17).fill(good)));
  await refuses(t, at, /17 signatures, at most 16/);
  at.registry.put(list, 'application/json', index(...Array<object>(65).fill({ ...good, artifactType: '' })));
  await refuses(t, at, /65 signatures, at most 64/);
  const untelling = { ...bad, artifactType: 'application/vnd.oci.empty.v1+json' };
  at.registry.put(list, 'application/json', index(...Array<object>(65).fill(untelling), good));
  t.is(await at.pull(), made.id, 'others beside it, however many, do not keep it from being found');
  await at.world.images.remove(made.id);
  at.registry.behave((request, response, next) =>
    request.url?.includes('/referrers/') === true ? void response.writeHead(405).end() : next(),
  );
  await refuses(t, at, /has no signature/);
  at.registry.put(tag, 'application/json', index(good));
  t.is(await at.pull(), made.id);
  await at.world.images.remove(made.id);
  at.registry.put(`${tag}.sig`, 'application/json', Buffer.from('{'));
  t.is(await at.pull(), made.id, 'whatever lies under the other tag');
  at.registry.put(tag, 'application/json', Buffer.from('[]'));
  await at.world.images.remove(made.id);
  await refuses(t, at, /not a JSON object/);
});

const signType = 'https://sigstore.dev/cosign/sign/v1';
const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const statement = (of: string, more: object = {}): Buffer =>
  Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { sha256: of.slice(7) }, annotations: {} }],
      predicateType: signType,
      predicate: {},
      ...more,
    }),
  );
/** As `cosign sign --key` writes it into a bundle. */
const bundle = (key: TestKey, payload: Buffer, more: object = {}, type = 'application/vnd.in-toto+json'): Buffer => {
  const encoded = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
  const dsseEnvelope = {
    payload: payload.toString('base64'),
    payloadType: type,
    signatures: [{ sig: sign(key, encoded) }],
    ...more,
  };
  return Buffer.from(
    JSON.stringify({ mediaType: bundleType, verificationMaterial: { publicKey: { hint: 'x' } }, dsseEnvelope }),
  );
};
/** The list of what refers to the image: a manifest each bundle. */
const refer = (at: Place, bundles: readonly Buffer[], annotations: object = {}): void => {
  const manifests = bundles.map((data) => {
    const { manifest, blobs } = artifact([{ data, mediaType: bundleType }], { artifactType: bundleType });
    for (const [id, blob] of blobs) at.registry.put(`app/blobs/${id}`, 'x', blob);
    at.registry.put(`app/manifests/${manifest.digest}`, manifest.mediaType, blobs.get(manifest.digest) ?? data);
    return { ...manifest, artifactType: bundleType, annotations };
  });
  const type = 'application/vnd.oci.image.index.v1+json';
  at.registry.put(
    `app/referrers/${digest}`,
    type,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests })),
  );
};

test('a signature in sigstore’s bundle is good for the digest alone, which the policy has to say', async (t) => {
  await using strict = await open(byKey(ec));
  refer(strict, [bundle(ec, statement(digest))]);
  await refuses(t, strict, /it signs no name, and matchRepository wants one/);
  for (const key of [ec, rsa, ed]) {
    await using at = await open(byKey(key, { signedIdentity: { type: 'matchDigest' } }));
    refer(at, [Buffer.from('no json'), bundle(wrong, statement(digest)), bundle(key, statement(digest))]);
    t.is(await at.pull(), made.id);
  }
});

test('a bundle that says another thing of the image, or the same of another one, is no signature', async (t) => {
  await using at = await open(byKey(ec, { signedIdentity: { type: 'matchDigest' } }));
  const good = statement(digest);
  const envelope = (more: object): Buffer => bundle(ec, good, more);
  for (const [bytes, reason] of [
    [bundle(wrong, good), /not made by a key/],
    [bundle(ec, statement(other.manifest.digest)), new RegExp(`it is for ${other.manifest.digest}`)],
    [bundle(ec, statement(digest, { subject: [] })), /it is for no digest/],
    [bundle(ec, statement(digest, { subject: [{ digest: { sha512: digest.slice(7) } }] })), /it is for no digest/],
    [bundle(ec, statement(digest, { predicateType: 'https://spdx.dev/Document' })), /says "https:\/\/spdx.dev/],
    [bundle(ec, statement(digest, { _type: 'x' })), /no in-toto statement/],
    [bundle(ec, claim(`${at.registry.host}/app`, digest)), /no in-toto statement/],
    [bundle(ec, good, {}, 'application/json'), /payloadType is not/],
    [envelope({ payload: statement(other.manifest.digest).toString('base64') }), /not made by a key/],
    [envelope({ payloadType: 'application/vnd.in-toto+json ' }), /payloadType is not/],
    [envelope({ signatures: [{ sig: sign(ec, good) }] }), /not made by a key/],
    [envelope({ signatures: [] }), /has no signature/],
    [envelope({ signatures: Array(9).fill({ sig: 'AAAA' }) }), /more than 8 signatures/],
    [Buffer.from(JSON.stringify({ mediaType: bundleType, messageSignature: {} })), /has no DSSE envelope/],
    [Buffer.from('{"mediaType":"x"}'), /mediaType is not that of a bundle/],
    [Buffer.alloc(140_000, ' '), /has no signature/],
  ] as const) {
    refer(at, [bytes]);
    await refuses(t, at, reason);
  }
  refer(at, [bundle(ec, good)], { 'dev.sigstore.bundle.predicateType': 'https://spdx.dev/Document' });
  await refuses(t, at, /has no signature/);
  refer(at, [bundle(ec, good)], { 'dev.sigstore.bundle.predicateType': signType });
  t.is(await at.pull(), made.id);
});

test('an artifact is verified as an image is', async (t) => {
  await using at = await open(byKey(ec));
  const thing = artifact([{ data: 'x', title: 'x' }]);
  at.registry.add('thing', thing);
  await refuses(t, at, /has no signature/, 'app:thing');
  at.sign([signed(ec, claim(`${at.registry.host}/app`, thing.id))], thing.id);
  t.is(await at.pull('app:thing'), thing.id);
});

test('an index is good when it is signed, or the manifest in it that this machine takes', async (t) => {
  await using at = await open(byKey(ec));
  const type = 'application/vnd.oci.image.index.v1+json';
  const platform = { os: 'linux', architecture };
  const body = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: [{ ...made.manifest, platform }] }),
  );
  const index = sha256(body);
  for (const name of ['multi', index]) at.registry.put(`app/manifests/${name}`, type, body);
  await refuses(t, at, /has no signature/, 'app:multi');
  const name = `${at.registry.host}/app`;
  at.sign([signed(ec, claim(name, index))], index);
  t.is(await at.pull('app:multi'), made.id);
  await at.world.images.remove(made.id);
  at.sign([], index);
  at.sign([signed(ec, claim(name, index))]);
  await refuses(t, at, new RegExp(`it is for ${index}`), 'app:multi');
  at.sign([signed(ec, claim(name, digest))]);
  t.is(await at.pull('app:multi'), made.id);
});

test('an image that is here is verified again by each pull, and a refused one gets no new name', async (t) => {
  await using at = await open((host) => ({
    [`${host}/app`]: [{ type: 'insecureAcceptAnything' }],
    [`${host}/strict`]: [{ type: 'sigstoreSigned', keyPath: ec.publicFile, ...repository }],
  }));
  at.registry.add('1', made, 'strict');
  t.is(await at.pull(), made.id);
  await refuses(t, at, /has no signature/, 'strict:1');
  await refuses(t, at, /has no signature/, `strict@${digest}`);
  t.deepEqual(at.world.images.resolve(made.id)?.repoTags, [`${at.registry.host}/app:1`]);
  putSignatures(at.registry, 'strict', digest, [signed(ec, claim(`${at.registry.host}/strict`, digest))]);
  t.is(await at.pull('strict:1'), made.id);
  putSignatures(at.registry, 'strict', digest, []);
  await refuses(t, at, /has no signature/, 'strict:1');
});

test('the narrowest scope decides, and all of its requirements have to hold', async (t) => {
  const both = (key: TestKey) => ({ type: 'sigstoreSigned', keyPath: key.publicFile, ...repository });
  await using at = await open((host) => ({
    [host]: [{ type: 'reject' }],
    [`${host}/app`]: [both(ec), both(second)],
    [`${host}/app:free`]: [{ type: 'insecureAcceptAnything' }],
  }));
  at.registry.add('1', made, 'elsewhere/app');
  at.registry.add('free', made);
  await refuses(t, at, /policy of "127.0.0.1:\d+" refuses it: nothing of it may come in/, 'elsewhere/app:1');
  t.is(await at.pull('app:free'), made.id);
  const payload = claim(`${at.registry.host}/app`, digest);
  at.sign([signed(ec, payload)]);
  await refuses(t, at, /not made by a key/);
  at.sign([signed(ec, payload), signed(second, payload)]);
  t.is(await at.pull(), made.id);
});

test('an exact identity wants the tag as well; one that is mapped, the name where the image came from', async (t) => {
  await using at = await open((host) => ({
    [`${host}/app`]: [{ type: 'sigstoreSigned', keyPath: ec.publicFile }],
    [`${host}/mirror`]: [
      {
        type: 'sigstoreSigned',
        keyPath: ec.publicFile,
        signedIdentity: { type: 'remapIdentity', prefix: `${host}/mirror`, signedPrefix: 'origin.example/team' },
      },
    ],
  }));
  const { host } = at.registry;
  at.sign([signed(ec, claim(`${host}/app`, digest))]);
  await refuses(t, at, new RegExp(`not for ${host}/app:1`));
  t.is(await at.pull(`app@${digest}`), made.id, 'by digest the repository is enough');
  at.sign([signed(ec, claim(`${host}/app:2`, digest))]);
  await refuses(t, at, new RegExp(`it is for ${host}/app:2, not for`));
  at.sign([signed(ec, claim(`${host}/app:1`, digest))]);
  t.is(await at.pull(), made.id);
  at.registry.add('1', made, 'mirror/thing');
  const put = (name: string) => putSignatures(at.registry, 'mirror/thing', digest, [signed(ec, claim(name, digest))]);
  put(`${host}/mirror/thing:1`);
  await refuses(t, at, /it is for/, 'mirror/thing:1');
  put('origin.example/team/thing:1');
  t.is(await at.pull('mirror/thing:1'), made.id);
});

const program = async (name: string, script: string): Promise<string> => {
  const path = join(directory, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
};
const byProgram =
  (path: string, more: object = {}) =>
  (host: string) => ({
    [host]: [{ type: 'program', path, timeoutSeconds: 60, ...more }],
  });

test('a verifier program is asked as containerd asks its own, and its exit code decides', async (t) => {
  const wanted = `-name "$H/app:1" -digest ${digest} -stdin-media-type application/vnd.oci.descriptor.v1+json`;
  const descriptor = `{"mediaType":"${made.manifest.mediaType}","digest":"${digest}","size":${made.manifest.size}}`;
  const script = `H=$(echo "$3" | sed s,/app:1,,)
shift; [ "$*" = "$(echo ${wanted})" ] || { echo "arguments: $*"; exit 3; }
[ "$(cat)" = '${descriptor}' ] || { echo stdin; exit 4; }`;
  await using at = await open(byProgram(await program('asks', script), { args: ['--mode'] }));
  t.is(await at.pull(), made.id);
});

test('a program that says no, dies, hangs, is missing or cannot be run refuses the image', async (t) => {
  const no = await program('no', 'echo "not today\\033[2J"; echo noise >&2; exit 1');
  const dies = await program('dies', 'kill -9 $$');
  const hangs = await program('hangs', 'exec sleep 60');
  const plain = join(directory, 'plain');
  await writeFile(plain, 'not a program');
  for (const [path, reason] of [
    [no, /no: exit 1: not today \[2J$/],
    [dies, /dies: signal 9/],
    [hangs, /hangs: not done in 1 s/],
    [plain, /plain: cannot be run/],
    [join(directory, 'missing'), /missing: cannot be run/],
  ] as const) {
    await using at = await open(byProgram(path, path === hangs ? { timeoutSeconds: 1 } : {}));
    await refuses(t, at, reason);
  }
});
