import { readFileSync } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import test from 'ava';
import { type Digest, sha256 } from '../base/digest.ts';
import { BerthError, type ErrorCode, messageOf } from '../base/errors.ts';
import { TestDaemon } from './harness/daemon.ts';
import { Scrape } from './harness/exposition.ts';
import { type Image, image, type Layer, layer, mediaTypes } from './harness/image.ts';
import { type Behaviour, cut, isBlob, startTestRegistry, type TestRegistry } from './harness/own-registry.ts';
import { fails } from './harness/suite.ts';
import type { TarEntry } from './harness/tar.ts';
import { until } from './harness/until.ts';

// The registry is in this process, so the daemon is in the machine's network; it makes no pods there.
let daemon: TestDaemon;
let registry: TestRegistry;
/** By repository. */
const behaviours = new Map<string, Behaviour>();

test.before('berthd, and a registry that behaves as it is told', async () => {
  registry = await startTestRegistry();
  registry.behave((request, response, next) => {
    const repository = /^\/v2\/([^/]+)\//.exec(request.url ?? '')?.[1] ?? '';
    (behaviours.get(repository) ?? ((_request, _response, go) => go()))(request, response, next);
  });
  daemon = await TestDaemon.start({
    network: 'none',
    hostNetwork: true,
    images: [],
    config: { registry: { plain_http: ['127.0.0.1'], stall_seconds: 1 } },
  });
});

test.after.always(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

const named = (repository: string, tag = '1'): string => `${registry.host}/${repository}:${tag}`;
const pull = (repository: string, auth = {}) =>
  daemon.client.PullImage({ image: { image: named(repository) }, auth }, { timeoutMs: 60_000 });
/** Everything in the daemon's root directory. */
const tree = (): Promise<string> =>
  daemon
    .deleteGarbage()
    .then(() => daemon.world.sh(`cd ${daemon.world.path('root')} && find . -printf '%y %P\\n' | sort`));

let serial = 0;
/** No two layers are the same: what one case fetches must not be there for another. */
const uniqueLayer = (entries: readonly TarEntry[] = []): Layer => {
  serial += 1;
  return layer([{ name: `unique-${serial}`, data: 'some text to fill a page. '.repeat(400) }, ...entries]);
};
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const bodyOf = (made: Image, digest: Digest): Buffer => made.blobs.get(digest) ?? Buffer.alloc(0);

const answers =
  (status: number, headers: Readonly<Record<string, string>> = {}): Behaviour =>
  (_request, response) =>
    void response.writeHead(status, headers).end();

const onLayer =
  (made: Image, behaviour: Behaviour): Behaviour =>
  (request, response, next) => {
    const largest = [...made.blobs].find(([digest]) => digest !== made.id && digest !== made.manifest.digest)?.[0];
    if (isBlob(request) && request.url?.endsWith(largest ?? '-')) behaviour(request, response, next);
    else next();
  };

/** Sends half of the layer, then stalls or closes; knows no ranges. */
const half = (made: Image, then: 'stall' | 'close'): Behaviour =>
  onLayer(made, (request, response) => {
    const body = bodyOf(made, (request.url ?? '').split('/').at(-1) as Digest);
    response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, body.length / 2));
    if (then === 'close') cut(response);
  });

interface Case {
  readonly what: string;
  readonly code: ErrorCode;
  readonly message: RegExp;
  prepare(repository: string): void;
}

const served = (what: string, code: ErrorCode, message: RegExp, make: () => Image): Case => ({
  what,
  code,
  message,
  prepare: (repository) => registry.add('1', make(), repository),
});
const behaving = (what: string, code: ErrorCode, message: RegExp, behaviour: (made: Image) => Behaviour): Case => ({
  what,
  code,
  message,
  prepare: (repository) => {
    // The second layer is good, and finished by then.
    const made = image([uniqueLayer(), uniqueLayer()], {});
    registry.add('1', made, repository);
    behaviours.set(repository, behaviour(made));
  },
});
/** The image with other bytes for its layer. */
const swapped = (what: string, message: RegExp, change: (blob: Buffer) => Buffer): Case => ({
  what,
  code: 'data-loss',
  message,
  prepare: (repository) => {
    const one = uniqueLayer();
    registry.add('1', image([one], {}), repository);
    registry.put(`${repository}/blobs/${one.digest}`, 'x', change(one.blob));
  },
});
const refusedLayer = (what: string, entries: readonly TarEntry[], message: RegExp): Case =>
  served(what, 'invalid-argument', message, () => image([uniqueLayer(entries)], {}));
const truncated = (): Image => {
  const { diffId, blob } = uniqueLayer();
  const cut = blob.subarray(0, -50);
  return image([{ diffId, digest: sha256(cut), blob: cut }], {});
};

const cases: readonly Case[] = [
  swapped('other bytes of the same size', /layer sha256:\w+/, (blob) => {
    const bytes = Buffer.from(blob);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    return bytes;
  }),
  swapped('more bytes than the manifest says', /bytes are offered, the manifest says/, (blob) =>
    Buffer.concat([blob, Buffer.from('more')]),
  ),
  swapped('fewer bytes than the manifest says', /bytes are offered, the manifest says/, (blob) => blob.subarray(1)),
  served('a truncated gzip', 'data-loss', /cannot be decompressed: it ends in the middle/, truncated),
  served('another DiffID', 'data-loss', /decompressed: its content has the digest/, () =>
    image([{ ...uniqueLayer(), diffId: sha256('another') }], {}),
  ),
  refusedLayer('a name with ../', [{ name: '../../escaped' }], /name leaves the layer: \.\.\/\.\.\/escaped/),
  refusedLayer(
    'a hard link out of the layer',
    [{ name: 'h', type: 'hardlink', link: '../../etc/shadow' }],
    /hard link leaves the layer: h/,
  ),
  refusedLayer(
    'a hard link to the host’s file',
    [{ name: 'h', type: 'hardlink', link: '/etc/shadow' }],
    /hard links to files that are not there/,
  ),
  refusedLayer(
    'a hard link to a directory',
    [
      { name: 'd/', type: 'directory' },
      { name: 'h', type: 'hardlink', link: 'd' },
    ],
    /hard link to a directory: h/,
  ),
  refusedLayer(
    'a device as parent',
    [{ name: 'n', type: 'char', major: 1, minor: 3 }, { name: 'n/file' }],
    /make directory: n: Not a directory/,
  ),
  refusedLayer('a device that overlayfs takes for a whiteout', [{ name: 'n', type: 'char' }], /make device 0:0: n/),
  refusedLayer(
    'an absolute link to itself as parent',
    [{ name: 'l', type: 'symlink', link: '/l' }, { name: 'l/file' }],
    /l: (?:Symbolic link loop|Too many levels of symbolic links)/,
  ),
  {
    what: 'an index without our platform',
    code: 'not-found',
    message: /no image for linux\/\w+.*it has linux\/s390x$/,
    prepare: (repository) => {
      const { manifest } = image([uniqueLayer()], {});
      const manifests = [{ ...manifest, platform: { os: 'linux', architecture: 's390x' } }];
      registry.put(`${repository}/manifests/1`, mediaTypes.index, json({ schemaVersion: 2, manifests }));
    },
  },
  served('a config for another platform', 'not-found', /the image is for linux\/s390x, not for linux\/\w+/, () =>
    image([uniqueLayer()], {}, 's390x'),
  ),
  behaving('no answer', 'unavailable', /stalls: no byte for 1 s/, () => () => undefined),
  behaving('a stall in the middle of a layer', 'unavailable', /stalls: no byte for 1 s/, (made) => half(made, 'stall')),
  behaving('a close half way', 'unavailable', /cannot be reached/, (made) => half(made, 'close')),
  behaving('500', 'unavailable', /manifest 1: 127\.0\.0\.1:\d+ answers 500/, () => answers(500)),
  behaving('500 for a layer', 'unavailable', /blob sha256:\w+: 127\.0\.0\.1:\d+ answers 500/, (made) =>
    onLayer(made, answers(500)),
  ),
  behaving('401', 'unauthenticated', /answers 401: it asks for credentials and none were given/, () =>
    answers(401, { 'www-authenticate': 'Basic realm="x"' }),
  ),
  behaving('403', 'permission-denied', /answers 403/, () => answers(403)),
  behaving('404', 'not-found', /answers 404/, () => answers(404)),
  behaving('429', 'resource-exhausted', /answers 429/, () => answers(429, { 'retry-after': '3600' })),
  behaving('a redirect loop', 'unavailable', /more than 5 redirects/, () => (request, response) => {
    response.writeHead(302, { location: request.url }).end();
  }),
  {
    what: 'what is no JSON',
    code: 'invalid-argument',
    message: /not JSON/,
    prepare: (repository) => registry.put(`${repository}/manifests/1`, mediaTypes.manifest, Buffer.from('{"schema')),
  },
];

/** What kubelet is told as RegistryUnavailable: by its client's rule with the code UNKNOWN, at the text's beginning. */
const downs = ['no answer', 'a stall in the middle of a layer', 'a close half way', '500', '500 for a layer', '429'];

const slug = (what: string): string =>
  what
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');

test('whatever a registry does wrong: PullImage and Admin.Pull say so with the right code, and nothing is left', async (t) => {
  for (const one of cases) one.prepare(slug(one.what));
  const before = await tree();
  // All at once: those that stall take seconds.
  await Promise.all(
    cases.map(async ({ what, code, message }) => {
      const error = await pull(slug(what)).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      t.true(error instanceof BerthError, `${what}: ${messageOf(error)}`);
      if (!(error instanceof BerthError)) return;
      const isDown = downs.includes(what);
      t.is(error.code, isDown ? 'unknown' : code, `${what}: ${error.message}`);
      t.regex(error.message, message, what);
      t.is(error.message.startsWith('RegistryUnavailable: pull image '), isDown, error.message);
      t.true(error.message.includes(`pull image ${named(slug(what))}`), `${what}: ${error.message}`);
    }),
  );
  const others = cases.filter(({ code }) => code !== 'unavailable');
  await Promise.all(others.map(({ what, code, message }) => fails(t, told(slug(what)), code, message)));
  t.is(await tree(), before);
  t.deepEqual((await daemon.client.ListImages({})).images, []);
});

const told = async (repository: string): Promise<void> => {
  for await (const _ of daemon.client.Pull({ image: named(repository) }));
};

test('a layer full of links and devices writes nowhere but in its own directory, and goes with its image', async (t) => {
  const before = await tree();
  const outside = daemon.world.path('outside');
  await mkdir(outside);
  const tricks: readonly TarEntry[] = [
    { name: 'absolute', type: 'symlink', link: outside, mode: 0o777, uid: 4242 },
    { name: 'absolute/file', data: 'in the layer' },
    { name: 'up', type: 'symlink', link: `../../../../../../../..${outside}` },
    { name: 'up/other', data: 'in the layer' },
    { name: 'hard', type: 'hardlink', link: 'absolute' },
    { name: 'hard/third', data: 'in the layer' },
    { name: 'disk', type: 'block', major: 8, minor: 0 },
    { name: 'memory', type: 'char', major: 1, minor: 1 },
  ];
  registry.add('1', image([uniqueLayer(tricks)], {}), 'tricks');
  const outsideBefore = await stat(outside, { bigint: true });
  const { image_ref } = await pull('tricks');
  t.deepEqual(await readdir(outside), []);
  t.is((await stat(outside, { bigint: true })).ctimeNs, outsideBefore.ctimeNs, 'no owner, mode or time of it changed');
  const files = await daemon.world.sh(`cd ${daemon.world.path('root/images/layers')}/*/fs && find .${outside} -type f`);
  t.deepEqual(
    files.trim().split('\n').sort(),
    ['file', 'other', 'third'].map((name) => `.${outside}/${name}`),
  );
  await daemon.client.RemoveImage({ image: { image: image_ref } });
  t.is(await tree(), before);
});

// Ten million of them in critest/images/many.long.test.ts.
test('a layer of 20,000 entries is pulled whole, and goes with its image', async (t) => {
  const before = await tree();
  const entries = Array.from({ length: 19_900 }, (_, at): TarEntry => ({ name: `d${at % 100}/f${at}` }));
  const directories = Array.from({ length: 100 }, (_, at): TarEntry => ({ name: `d${at}/`, type: 'directory' }));
  registry.add('1', image([layer([...directories, ...entries])], {}), 'many');
  const { image_ref } = await pull('many');
  t.is(
    (await daemon.world.sh(`find ${daemon.world.path('root/images/layers')}/*/fs -mindepth 1 -printf x`)).length,
    20_000,
  );
  await daemon.client.RemoveImage({ image: { image: image_ref } });
  t.is(await tree(), before);
});

test('A13: while one layer is held back half way, its first half is unpacked and the others are finished', async (t) => {
  const before = await tree();
  const early = `early-${Date.now()}`;
  // Bytes that do not compress: the first half of the blob holds the first file.
  const noise = readFileSync(process.execPath).subarray(0, 1 << 20);
  const slow = layer([
    { name: early, data: noise },
    { name: 'late', data: noise },
  ]);
  const others = [uniqueLayer(), uniqueLayer(), uniqueLayer()];
  const made = image([others[0] ?? slow, slow, ...others.slice(1)], {});
  registry.add('1', made, 'parallel');
  const held = Promise.withResolvers<() => void>();
  behaviours.set('parallel', (request, response, next) => {
    if (!isBlob(request) || !request.url?.endsWith(slow.digest)) return next();
    let sent = Math.ceil(slow.blob.length * 0.75);
    response.writeHead(200, { 'content-length': slow.blob.length }).write(slow.blob.subarray(0, sent));
    // Twenty times as quick as what counts as a stall, and not through in less than 20 seconds.
    const trickle = setInterval(() => {
      const begin = sent;
      sent = Math.min(begin + 2048, slow.blob.length - 1);
      response.write(slow.blob.subarray(begin, sent));
    }, 100);
    held.resolve(() => {
      clearInterval(trickle);
      response.end(slow.blob.subarray(sent));
    });
  });
  const progress: string[] = [];
  const pulling = (async () => {
    for await (const { digest, phase } of daemon.client.Pull({ image: named('parallel') }))
      progress.push(`${phase} ${digest}`);
  })();
  const release = await held.promise;
  const layers = daemon.world.path('root/images/layers');
  const committed = async (): Promise<string[]> => (await readdir(layers)).map((hex) => `sha256:${hex}`).sort();
  const rest = others.map(({ diffId }) => diffId).sort();
  await until('the other layers are committed', async () => (await committed()).length === rest.length);
  t.deepEqual(await committed(), rest);
  const half = async (): Promise<boolean> =>
    (await daemon.world.sh(`find ${daemon.world.path('root/images/tmp')} -path '*/fs/${early}' -size 1024k`)) !== '';
  await until('the first file of the layer that is held back is on the disk', half);
  t.false(progress.includes(`DONE ${slow.digest}`));
  release();
  await pulling;
  t.is((await committed()).length, 4);
  await daemon.client.RemoveImage({ image: { image: made.id } });
  t.is(await tree(), before);
});

test('A14: what many pulls at once need is asked for once', async (t) => {
  const shared = [uniqueLayer(), uniqueLayer()];
  const [first, second] = [image(shared, { Cmd: ['1'] }), image(shared, { Cmd: ['2'] })];
  registry.add('1', first, 'flights');
  registry.add('2', second, 'flights');
  const begun = registry.requests.length;
  const tags = ['1', '2', '1', '2', '1', '2', '1', '2', '1', '2'];
  const pulls = tags.map((tag) => daemon.client.PullImage({ image: { image: named('flights', tag) } }));
  const ids = (await Promise.all(pulls)).map(({ image_ref }) => image_ref);
  t.deepEqual(
    ids,
    tags.map((tag) => (tag === '1' ? first.id : second.id)),
  );
  const paths = registry.requests.slice(begun).map(({ path }) => path);
  t.deepEqual(paths.sort(), [...new Set(paths)].sort());
  t.is(paths.length, 6, 'two manifests, two configs, two layers');
  for (const id of [first.id, second.id]) await daemon.client.RemoveImage({ image: { image: id } });
});

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
/** What was shown with the requests for this repository, in order, without repetition. */
const shown = ({ requests }: TestRegistry, repository: string): (string | undefined)[] => [
  ...new Set(requests.filter(({ path }) => path.includes(repository)).map(({ authorization }) => authorization)),
];
/** Serves the image to who shows this, and challenges all others. */
const guarded =
  (authorization: string, challenge = 'Basic realm="x"'): Behaviour =>
  (request, response, next) => {
    if (request.headers.authorization === authorization) next();
    else response.writeHead(401, { 'www-authenticate': challenge }).end();
  };

test('A26: credentials are shown to the host that they are for, and to no other', async (t) => {
  const made = image([uniqueLayer()], {});
  for (const repository of ['own', 'named', 'others']) {
    registry.add('1', made, repository);
    behaviours.set(repository, guarded(basic('me', 'secret')));
  }
  const me = { username: 'me', password: 'secret' };
  await pull('own', me);
  await pull('named', { ...me, server_address: `http://${registry.host}/v2/` });
  for (const server_address of ['registry.example', `${registry.host}0`, `not-${registry.host}`, '127.0.0.1'])
    await fails(t, pull('others', { ...me, server_address }), 'unauthenticated', /none were given/);
  for (const auth of [{ registry_token: 'token' }, { identity_token: 'token' }, { auth: 'bWU6c2VjcmV0' }])
    await fails(
      t,
      pull('others', { ...auth, server_address: 'registry.example' }),
      'unauthenticated',
      /none were given/,
    );
  t.deepEqual(shown(registry, '/own/'), [undefined, basic('me', 'secret')]);
  t.deepEqual(shown(registry, '/named/'), [undefined, basic('me', 'secret')]);
  t.deepEqual(shown(registry, '/others/'), [undefined]);
  // What one call has shown is not kept for the next.
  await fails(t, pull('others'), 'unauthenticated', /none were given/);
  await daemon.client.RemoveImage({ image: { image: made.id } });
});

test('A26, containerd 2020-15157: neither a password nor a token goes where a registry redirects', async (t) => {
  await using other = await startTestRegistry();
  const made = image([uniqueLayer()], {});
  registry.add('1', made, 'redirecting');
  other.add('1', made, 'redirecting');
  const cases = [
    [{ username: 'me', password: 'secret' }, basic('me', 'secret')],
    [{ registry_token: 'the-token' }, 'Bearer the-token'],
  ] as const;
  for (const [auth, authorization] of cases) {
    behaviours.set('redirecting', (request, response, next) =>
      guarded(authorization)(request, response, () => {
        if (!isBlob(request)) return next();
        response.writeHead(307, { location: `http://${other.host}${request.url}` }).end();
      }),
    );
    await pull('redirecting', auth);
    await daemon.client.RemoveImage({ image: { image: made.id } });
  }
  t.is(other.requests.length, 4, 'config and layer, twice');
  t.deepEqual(shown(other, '/'), [undefined]);
  // A host that was redirected to and asks for credentials gets none, nor does the realm that it names.
  other.behave(guarded('nothing', `Bearer realm="http://${other.host}/token"`));
  await fails(t, pull('redirecting', { registry_token: 'the-token' }), 'unauthenticated', /answers 401/);
  t.deepEqual(shown(other, '/'), [undefined]);
  t.deepEqual(shown(other, 'token'), []);
});

test('A26: a token endpoint elsewhere gets what the registry asks for, and its token goes to the registry alone', async (t) => {
  await using realm = await startTestRegistry();
  await using storage = await startTestRegistry();
  const made = image([uniqueLayer()], {});
  registry.add('1', made, 'tokens');
  storage.add('1', made, 'tokens');
  realm.behave((_request, response) => response.end(JSON.stringify({ token: 'fresh' })));
  const challenge = `Bearer realm="http://${realm.host}/token",service="s",scope="repository:tokens:pull"`;
  behaviours.set('tokens', (request, response, next) =>
    guarded('Bearer fresh', challenge)(request, response, () => {
      if (!isBlob(request)) return next();
      response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end();
    }),
  );
  await pull('tokens', { username: 'me', password: 'secret' });
  t.deepEqual(shown(realm, '/token'), [basic('me', 'secret')]);
  t.deepEqual(shown(registry, '/tokens/'), [undefined, 'Bearer fresh']);
  t.deepEqual(shown(storage, '/'), [undefined]);
  // A token that the caller gave is for the registry: no realm sees it.
  await daemon.client.RemoveImage({ image: { image: made.id } });
  const before = realm.requests.length;
  await fails(t, pull('tokens', { registry_token: 'stale' }), 'unauthenticated', /refuses the credentials/);
  t.is(realm.requests.length, before);
  // Nor does one over plain HTTP that the configuration does not mark so: the password would be readable.
  behaviours.set('tokens', guarded('never', `Bearer realm="http://localhost:${realm.host.split(':')[1]}/token"`));
  const unmarked = pull('tokens', { username: 'me', password: 'secret' });
  await fails(t, unmarked, 'failed-precondition', /localhost:\d+ is to be reached by plain HTTP/);
  t.is(realm.requests.length, before);
});

test('the metrics have the bytes that came of blobs, and each stage of a pull with how it ended', async (t) => {
  const made = image([uniqueLayer(), uniqueLayer()], {});
  registry.add('1', made, 'measured');
  const before = await Scrape.of(daemon);
  await pull('measured');
  const now = await Scrape.of(daemon);
  const grown = (name: string, labels = ''): number => now.value(name, labels) - before.value(name, labels);
  const bytes = [...made.blobs].filter(([digest]) => digest !== made.manifest.digest).map(([, blob]) => blob.length);
  t.is(
    grown('berth_pulled_bytes_total'),
    bytes.reduce((sum, one) => sum + one, 0),
  );
  const count = 'berth_pull_stage_duration_seconds_count';
  const stages = ['queue', 'resolve', 'manifest', 'verify', 'config', 'layers', 'fixups', 'commit'];
  for (const stage of stages) t.is(grown(count, `code="ok",stage="${stage}"`), 1, stage);
  t.is(grown(count, 'code="ok",stage="layer"'), 2);
  await fails(t, pull('not-there'), 'not-found', /./);
  const labels = 'code="not-found",stage="resolve"';
  t.is((await Scrape.of(daemon)).value(count, labels) - before.value(count, labels), 1);
});
