import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { digestParts, sha256 } from '../../base/digest.ts';
import type { BerthError } from '../../base/errors.ts';
import type { PushEvent } from '../../images/index.ts';
import { type Image, image, layer, mediaTypes } from '../harness/image.ts';
import { startTestRegistry } from '../harness/own-registry.ts';
import { type PushRegistry, startPushRegistry } from '../harness/push-registry.ts';
import { openWorld, testSettings } from './world.ts';

const base = layer([{ name: 'base', data: 'base' }]);
// It has to be larger than what a connection takes at once.
const big = layer([{ name: 'big', data: randomBytes(6 << 20) }]);
const one = image([base], { Cmd: ['one'] });
const two = image([base, big], { Cmd: ['two'] });
const other = image([base], { Cmd: ['other'] }, 'riscv64');
const never = new AbortController().signal;
const uploads = { small: 1 << 20, chunk: 1 << 30, smallChunk: 1 << 20 };

const setUp = async (sizes = uploads, keepBlobs = true, stallSeconds = 10) => {
  const source = await startTestRegistry();
  const to = await startPushRegistry();
  const registry = { configPath: [], plainHttp: ['127.0.0.1'], stallSeconds };
  const world = await openWorld({ uploads: sizes, images: { ...testSettings, keepBlobs }, registry });
  source.add('1', one);
  source.add('2', two);
  const name = (tag: string): string => `${source.host}/app:${tag}`;
  const pull = (tag: string) => world.images.pull(name(tag), undefined, { signal: never });
  await pull('1');
  await pull('2');
  return {
    source,
    to,
    world,
    name,
    pull,
    push: (tag: string, destination: string, report: (event: PushEvent) => void = () => undefined, signal = never) =>
      world.images.push(name(tag), `${to.host}/${destination}`, undefined, { signal, report }),
    [Symbol.asyncDispose]: async () => {
      await source[Symbol.asyncDispose]();
      await to[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
};

const failure = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: BerthError) => `${error.code}: ${error.message}`,
  );

/** Every blob of the image is there byte for byte, and the manifest under its tag. */
const has = (registry: PushRegistry, repository: string, tag: string, pushed: Image): boolean => {
  const { digest } = pushed.manifest;
  const blobs = [...pushed.blobs].filter(([name]) => name !== digest);
  const manifest = registry.manifests.get(`${repository} ${tag}`);
  return (
    blobs.every(([name, body]) => registry.blobs.get(`${repository} ${name}`)?.equals(body) === true) &&
    manifest?.body.equals(pushed.blobs.get(digest) ?? Buffer.alloc(0)) === true &&
    manifest.type === pushed.manifest.mediaType
  );
};

test('an image is pushed byte for byte, its manifest last; a second time only the tag is', async (t) => {
  await using at = await setUp();
  const events: PushEvent[] = [];
  const pushed = await at.push('2', 'a/b:x', (event) => void events.push(event));
  t.deepEqual(pushed, { digest: two.manifest.digest, isPart: false });
  t.true(has(at.to, 'a/b', 'x', two));
  t.is(at.to.requests.at(-1), 'PUT /v2/a/b/manifests/x');
  t.is(at.to.uploads.size, 0);
  const last = new Map(events.map((event) => [event.digest, event]));
  t.deepEqual([...last.keys()].toSorted(), [...two.blobs.keys()].toSorted());
  t.true([...last.values()].every(({ phase, offset, total }) => phase === 'done' && offset === total));
  at.to.requests.length = 0;
  await at.push('2', 'a/b:y');
  t.deepEqual(at.to.requests, [`HEAD /v2/a/b/manifests/${two.manifest.digest}`, 'PUT /v2/a/b/manifests/y']);
});

test('a blob that is there is not sent, one of another repository of the registry is mounted', async (t) => {
  await using at = await setUp();
  const repository = 'library/old';
  for (const [digest, body] of one.blobs) at.to.blobs.set(`${repository} ${digest}`, body);
  at.to.manifests.set(`${repository} 1`, {
    type: mediaTypes.manifest,
    body: one.blobs.get(one.manifest.digest) ?? Buffer.alloc(0),
  });
  const phases = new Map<string, string>();
  const report = ({ digest, phase }: PushEvent): void => void phases.set(digest, phase);
  at.to.blobs.set(`new ${two.id}`, two.blobs.get(two.id) ?? Buffer.alloc(0));
  // Known to have been pulled from there.
  at.to.behave(({ method, url }, response) => {
    const digest = url?.split('/').at(-1) ?? '';
    const body = method === 'GET' && url?.includes('/blobs/sha256') ? one.blobs.get(digest as never) : undefined;
    if (body !== undefined) response.writeHead(200, { 'content-length': body.length }).end(body);
    return body !== undefined;
  });
  await at.world.images.pull(`${at.to.host}/library/old:1`, undefined, { signal: never });
  await at.push('2', 'new:1', report);
  t.is(phases.get(base.digest), 'mounted');
  t.is(phases.get(two.id), 'present');
  t.is(phases.get(big.digest), 'done');
  t.true(has(at.to, 'new', '1', two));
});

test('a mount asks the token server for both repositories, and who may not read the other one uploads', async (t) => {
  for (const mayRead of [true, false]) {
    await using at = await setUp();
    await at.push('2', 'team/first:1');
    await at.world.images.pull(`${at.to.host}/team/first:1`, undefined, { signal: never });
    const asked: string[][] = [];
    at.to.behave((request, response) => {
      const url = new URL(request.url ?? '', `http://${at.to.host}`);
      if (url.pathname === '/token') {
        const scopes = url.searchParams
          .getAll('scope')
          .flatMap((each) => each.split(' '))
          .toSorted();
        asked.push(scopes);
        const granted = scopes.filter((each) => mayRead || !each.startsWith('repository:team/first:'));
        response.end(JSON.stringify({ token: Buffer.from(granted.join(' ')).toString('base64url'), expires_in: 300 }));
        return true;
      }
      const [, repository = ''] = /^\/v2\/(.+)\/(?:blobs|manifests)\//.exec(url.pathname) ?? [];
      const from = url.searchParams.get('from');
      const wanted = [`repository:${repository}:pull,push`, ...(from === null ? [] : [`repository:${from}:pull`])];
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
      const granted = Buffer.from(token, 'base64url').toString().split(' ');
      if (wanted.every((each) => granted.includes(each))) return false;
      const realm = `Bearer realm="http://${at.to.host}/token",service="test",scope="${wanted.join(' ')}"`;
      response.writeHead(401, { 'www-authenticate': realm }).end();
      return true;
    });
    const ways = new Map<string, string>();
    const pushed = at.world.images.push(at.name('2'), `${at.to.host}/team/second:1`, undefined, {
      signal: never,
      report: ({ digest, phase }) => void ways.set(digest, phase),
    });
    t.is((await pushed).digest, two.manifest.digest);
    t.true(has(at.to, 'team/second', '1', two));
    t.is(ways.get(big.digest), mayRead ? 'mounted' : 'done');
    t.true(asked.some((scopes) => scopes.join() === 'repository:team/first:pull,repository:team/second:pull,push'));
  }
});

test('a mount that the registry refuses, and one that it makes an upload of, become uploads', async (t) => {
  await using at = await setUp();
  for (const status of [0, 403, 405]) {
    at.to.behave(({ url = '' }, response) => {
      if (!url.includes('mount=') || status === 0) return false;
      response.writeHead(status).end();
      return true;
    });
    await at.push('1', `first${status}:1`);
    t.true(has(at.to, `first${status}`, '1', one));
  }
});

test('a large blob goes in chunks, each from where the registry says that it is', async (t) => {
  await using at = await setUp({ small: 1000, chunk: 1 << 20, smallChunk: 1 << 20 });
  at.to.leastChunk = 2 << 20;
  await at.push('2', 'a:1');
  t.true(has(at.to, 'a', '1', two));
  const ranges = at.to.requests.filter((line) => line.startsWith('PATCH')).map((line) => line.split(' ').at(-1));
  const size = big.blob.length;
  t.deepEqual(ranges, [
    `0-${(2 << 20) - 1}`,
    `${2 << 20}-${(4 << 20) - 1}`,
    `${4 << 20}-${(6 << 20) - 1}`,
    `${6 << 20}-${size - 1}`,
  ]);
});

test('after a cut, a 503, a 416 and a session that is gone the upload goes on, or begins anew', async (t) => {
  await using at = await setUp();
  let faults = 0;
  let isSecond = false;
  at.to.behave(async (request, response) => {
    if (request.method !== 'PATCH') return false;
    faults += 1;
    const id = /uploads\/(\d+)/.exec(request.url ?? '')?.[1] ?? '';
    if (faults === 1 && !isSecond) {
      // Two thirds arrive.
      let length = 0;
      const chunks: Buffer[] = [];
      for await (const chunk of request as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        length += chunk.length;
        if (length > 4 << 20) break;
      }
      at.to.uploads.set(id, Buffer.concat(chunks));
      request.socket.destroy();
      return true;
    }
    if (faults === 2 && !isSecond) response.writeHead(503).end();
    else if (faults === 3 && !isSecond) at.to.uploads.delete(id);
    else if (isSecond && faults === 1) at.to.uploads.set(id, big.blob.subarray(0, 100));
    return faults === 2 && !isSecond;
  });
  await at.push('2', 'a:1');
  t.true(has(at.to, 'a', '1', two));
  const ranges = at.to.requests.filter((line) => line.startsWith('PATCH')).map((line) => line.split(' ').at(-1));
  t.true(Number(ranges[1]?.split('-')[0]) > 4 << 20, `it goes on after the cut: ${ranges.join(' ')}`);
  at.to.requests.length = 0;
  [faults, isSecond] = [0, true];
  await at.push('2', 'b:1');
  t.true(has(at.to, 'b', '1', two));
  const again = at.to.requests.filter((line) => line.startsWith('PATCH')).map((line) => line.split(' ').at(-1));
  t.deepEqual(again, [`0-${big.blob.length - 1}`, `100-${big.blob.length - 1}`]);
  t.is(at.to.uploads.size, 0);
});

test('a request that is too large for the registry is sent in smaller ones', async (t) => {
  await using at = await setUp();
  at.to.behave((request, response) => {
    if (request.method !== 'PATCH' || Number(request.headers['content-length']) <= 1 << 20) return false;
    request.resume();
    response.writeHead(413, { connection: 'close' }).end();
    return true;
  });
  await at.push('2', 'a:1');
  t.true(has(at.to, 'a', '1', two));
});

test('a push that cannot be ended leaves no upload at the registry, and the error has its reason', async (t) => {
  await using at = await setUp();
  at.to.behave((request, response) => {
    if (request.method !== 'PATCH') return false;
    request.resume();
    response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"quota is used up"}]}');
    return true;
  });
  t.regex(
    await failure(at.push('2', 'a:1')),
    /^permission-denied: push image to .*\/a:1: .*403 \(DENIED: quota is used up\)/,
  );
  t.is(at.to.uploads.size, 0);
  t.is(at.to.manifests.size, 0);
  at.to.behave((request) => request.method === 'PATCH');
  const gone = new AbortController();
  const pushing = failure(
    at.push('2', 'a:1', ({ phase }) => void (phase === 'uploading' && gone.abort()), gone.signal),
  );
  t.regex(await pushing, /^cancelled: /);
  t.is(at.to.uploads.size, 0);
});

test('a registry that stores another manifest, or stalls, or never gets further is an error', async (t) => {
  await using at = await setUp(uploads, true, 0.5);
  at.to.behave((request, response) => {
    if (request.method !== 'PUT' || !request.url?.includes('/manifests/')) return false;
    request.resume();
    response.writeHead(201, { 'docker-content-digest': sha256('other') }).end();
    return true;
  });
  t.regex(await failure(at.push('1', 'a:1')), /^data-loss: .*has stored sha256:/);
  at.to.behave((request) => request.method === 'HEAD');
  t.regex(await failure(at.push('1', 'a:2')), /^unavailable: .*stalls/);
  at.to.behave((request, response) => {
    if (request.method !== 'PATCH') return false;
    request.resume();
    response.writeHead(202, { location: request.url, range: '0-0' }).end();
    return true;
  });
  t.regex(await failure(at.push('2', 'a:3')), /^unavailable: .*says that it has 0 bytes/);
});

test('of an index that is here in part the manifest of this machine is pushed, one that is whole as it is', async (t) => {
  await using at = await setUp();
  at.source.add('other', other);
  const indexOf = (...images: readonly Image[]): Buffer => {
    const manifests = images.map(({ manifest }) => manifest);
    return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
  };
  const [single, multi] = [indexOf(one), indexOf(one, other)];
  at.source.put('app/manifests/single', mediaTypes.index, single);
  at.source.put('app/manifests/multi', mediaTypes.index, multi);
  await at.pull('single');
  await at.pull('multi');
  t.deepEqual(await at.push('multi', 'a:multi'), { digest: one.manifest.digest, isPart: true });
  t.true(has(at.to, 'a', 'multi', one));
  t.deepEqual(await at.push('single', 'a:single'), { digest: sha256(single), isPart: false });
  t.deepEqual(at.to.manifests.get('a single'), { type: mediaTypes.index, body: single });
});

test('the first host of hosts.toml that takes pushes gets it, and none is an error', async (t) => {
  const to = await startPushRegistry();
  const directory = await mkdtemp('/tmp/bt-hosts-');
  const write = async (text: string): Promise<void> => {
    await mkdir(join(directory, 'example.org'), { recursive: true });
    await writeFile(join(directory, 'example.org/hosts.toml'), text);
  };
  const mirror = (capabilities: string): string => `[host."http://${to.host}"]\ncapabilities = ${capabilities}\n`;
  const source = await startTestRegistry();
  const registry = { configPath: [directory], plainHttp: ['127.0.0.1'], stallSeconds: 10 };
  const world = await openWorld({ registry });
  try {
    source.add('1', one);
    await world.images.pull(`${source.host}/app:1`, undefined, { signal: never });
    const push = () =>
      world.images.push(one.id, 'example.org/a:1', undefined, { signal: never, report: () => undefined });
    await write(
      `server = "http://127.0.0.1:1"\n[host."http://127.0.0.1:1"]\ncapabilities = ["pull"]\n${mirror('["push"]')}`,
    );
    await push();
    t.true(has(to, 'a', '1', one));
    await write(`server = "http://${to.host}"\ncapabilities = ["pull", "resolve"]\n${mirror('["pull", "resolve"]')}`);
    t.regex(
      await failure(push()),
      /^failed-precondition: .*example\.org\/a: no host in hosts\.toml has the capability push/,
    );
  } finally {
    await Promise.all([to, source, world].map((each) => each[Symbol.asyncDispose]()));
    await rm(directory, { recursive: true });
  }
});

test('what is not here, was not kept, or has another digest than the destination names is refused', async (t) => {
  await using at = await setUp();
  t.regex(await failure(at.push('3', 'a:1')), /^not-found: .*there is no such image/);
  const wrong = `a@${sha256('wrong')}`;
  t.regex(await failure(at.push('1', wrong)), /^invalid-argument: .*is not that of the image, sha256:/);
  await at.push('1', `a@${one.manifest.digest}`);
  t.is(at.to.requests.at(-1), `PUT /v2/a/manifests/${one.manifest.digest}`);
  await using dropped = await setUp(uploads, false);
  t.regex(await failure(dropped.push('1', 'a:1')), /^failed-precondition: .*keep_blobs is false/);
  t.deepEqual(dropped.to.requests, []);
});

test('a blob with a wrong byte on the disk is not stored by the registry, and the error is data-loss', async (t) => {
  await using at = await setUp();
  const path = join(at.world.root, 'images/blobs/sha256', digestParts(big.digest).hex);
  const bytes = await readFile(path);
  bytes[40] = (bytes[40] ?? 0) ^ 1;
  await writeFile(path, bytes);
  t.regex(await failure(at.push('2', 'a:1')), /^data-loss: .*in the store: its content has the digest/);
  t.is(at.to.manifests.size, 0);
});
