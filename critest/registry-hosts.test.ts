import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { dir } from 'tmp-promise';
import type { Digest } from '../base/digest.ts';
import { BerthError } from '../base/errors.ts';
import { TestDaemon } from './harness/daemon.ts';
import { type Image, image, type Layer, layer, mediaTypes } from './harness/image.ts';
import {
  type Behaviour,
  cut,
  isBlob,
  type RegistryTls,
  startTestRegistry,
  type TestRegistry,
} from './harness/own-registry.ts';
import { fails } from './harness/suite.ts';
import { tar } from './harness/tar.ts';

// The registries are in this process, so the daemon is in the machine's network; it makes no pods there.
let daemon: TestDaemon;
let mirror: TestRegistry;
let origin: TestRegistry;
let certs: string;
let tls: string;
/** By repository, of the mirror. */
const behaviours = new Map<string, Behaviour>();

const makeCertificates = `
  set -e
  new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
  new -x509 -days 2 -subj '/CN=a test CA' -keyout ca.key -out ca.pem
  for one in server=IP:127.0.0.1,DNS:mirror.example other=DNS:other.example client=DNS:node; do
    name=\${one%%=*}
    new -subj "/CN=$name" -keyout $name.key -out $name.csr
    echo "subjectAltName=\${one#*=}" >$name.ext
    openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile $name.ext -out $name.pem 2>/dev/null
  done
  cat client.pem client.key >both.pem`;

const pem = (name: string): string => readFileSync(join(tls, name), 'utf8');
const served = (name = 'server'): RegistryTls => ({ cert: pem(`${name}.pem`), key: pem(`${name}.key`) });

test.before('berthd, a registry and its mirror', async () => {
  [certs, tls] = (await Promise.all(
    ['bt-certs-', 'bt-tls-'].map(async (prefix) => (await dir({ prefix, mode: 0o755 })).path),
  )) as [string, string];
  await promisify(execFile)('sh', ['-c', makeCertificates], { cwd: tls });
  mirror = await startTestRegistry();
  origin = await startTestRegistry();
  mirror.behave((request, response, next) => (behaviours.get(repositoryOf(request)) ?? pass)(request, response, next));
  daemon = await TestDaemon.start({
    network: 'none',
    hostNetwork: true,
    images: [],
    config: {
      registry: { config_path: [certs], plain_http: ['localhost'], stall_seconds: 1 },
      images: { max_layer_size: 1_048_576 },
    },
  });
  beginSlow();
});

test.after.always(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await Promise.all([mirror, origin].map((registry) => registry?.[Symbol.asyncDispose]()));
  await Promise.all([certs, tls].map((path) => rm(path, { recursive: true, force: true })));
});

const pass: Behaviour = (_request, _response, next) => next();
const repositoryOf = ({ url = '' }: IncomingMessage): string => /^\/v2\/([^/]+)\//.exec(url)?.[1] ?? '';

/** Writes hosts.toml of a registry that there is only by name. */
const configure = async (host: string, text: string): Promise<string> => {
  await mkdir(join(certs, host), { recursive: true });
  await writeFile(join(certs, host, 'hosts.toml'), text);
  return host;
};
const table = (registry: TestRegistry | string, ...keys: readonly string[]): string => {
  const url = typeof registry === 'string' ? registry : `http://${registry.host}`;
  return [`[host.${JSON.stringify(url)}]`, ...keys, ''].join('\n');
};
/** The registry `host` with these mirrors, and `origin` behind its name. */
const mirrored = (host: string, ...tables: readonly string[]): Promise<string> =>
  configure(host, [`server = "http://${origin.host}"`, ...tables].join('\n'));

const pull = (name: string, auth = {}) =>
  daemon.client.PullImage({ image: { image: name }, auth }, { timeoutMs: 30_000 });
const asked = (registry: TestRegistry, repository: string): string[] =>
  registry.requests.filter(({ path }) => path.startsWith(`/v2/${repository}/`)).map(({ path }) => path);

let serial = 0;
const uniqueLayer = (): Layer => {
  serial += 1;
  // Bytes that do not compress, so that its blob is as long as a bomb needs to be.
  return layer([{ name: `unique-${serial}`, data: randomBytes(4000) }]);
};
const uniqueImage = (): Image => image([uniqueLayer()], { Cmd: [`${serial}`] });
/** Gives the image to both registries, or to one. */
const added = (repository: string, registries: readonly TestRegistry[] = [mirror, origin]): Image => {
  const made = uniqueImage();
  for (const registry of registries) registry.add('1', made, repository);
  return made;
};
const layerOf = (made: Image): Digest =>
  [...made.blobs.keys()].find((digest) => digest !== made.id && digest !== made.manifest.digest) as Digest;

const answers =
  (status: number, headers: Readonly<Record<string, string>> = {}): Behaviour =>
  (_request, response) =>
    void response.writeHead(status, headers).end();
const forBlobs =
  (behaviour: Behaviour): Behaviour =>
  (request, response, next) =>
    isBlob(request) ? behaviour(request, response, next) : next();
/** Other bytes for the layer, of the same length where `bytes` has it. */
const instead = (made: Image, change: (blob: Buffer) => Buffer): Behaviour =>
  forBlobs((request, response, next) => {
    const digest = layerOf(made);
    if (!request.url?.includes(digest)) return next();
    const body = change(Buffer.from(made.blobs.get(digest) ?? Buffer.alloc(0)));
    response.writeHead(200, { 'content-length': body.length }).end(body);
  });
const half = (made: Image, then: 'stall' | 'close'): Behaviour =>
  forBlobs((request, response, next) => {
    const body = made.blobs.get(layerOf(made)) ?? Buffer.alloc(0);
    if (!request.url?.includes(layerOf(made))) return next();
    response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, body.length / 2));
    if (then === 'close') cut(response);
  });

/** Those that take seconds, since they wait between two tries: begun with the daemon, and judged at the end. */
const slow: Promise<readonly [what: string, outcome: unknown]>[] = [];
const outcomeOf = async (what: string, run: () => Promise<unknown>): Promise<readonly [string, unknown]> => [
  what,
  await run().catch((error: unknown) => error),
];

/** Each answers for the tag, and the registry itself cannot be reached. */
const mirrorsOfTheDead: Readonly<Record<string, number>> = { 'down-503': 503, 'down-404': 404, 'down-403': 403 };

const beginSlow = (): void => {
  for (const [repository, status] of Object.entries(mirrorsOfTheDead)) {
    behaviours.set(repository, answers(status));
    const text = `server = "http://127.0.0.1:1"\n${table(mirror)}`;
    slow.push(
      outcomeOf(repository, async () => pull(`${await configure(`${repository}.test`, text)}/${repository}:1`)),
    );
  }
  const afters = { seconds: () => '1', date: () => new Date(Date.now() + 1999).toUTCString() };
  for (const [what, after] of Object.entries(afters)) slow.push(outcomeOf(what, () => waited(`after-${what}`, after)));
};

/** How long a registry that asks to wait once was waited for, in ms. */
const waited = async (repository: string, retryAfter: () => string): Promise<number> => {
  added(repository, [mirror]);
  const times: number[] = [];
  behaviours.set(repository, (_request, response, next) => {
    times.push(performance.now());
    if (times.length === 1) response.writeHead(429, { 'retry-after': retryAfter() }).end();
    else next();
  });
  await pull(`${await configure(`${repository}.test`, `server = "http://${mirror.host}"`)}/${repository}:1`);
  return (times[1] ?? 0) - (times[0] ?? 0);
};

test('mirrors are asked in the order of the file, with the registry’s name, and the registry itself only after them', async (t) => {
  await using first = await startTestRegistry();
  const made = added('order');
  const host = await mirrored('order.test:5000', table(first), table(mirror));
  const { image_ref } = await pull(`${host}/order:1`);
  t.is(image_ref, made.id);
  const paths = [`manifests/1`, `blobs/${made.id}`, `blobs/${layerOf(made)}`];
  const expected = paths.map((path) => `/v2/order/${path}?ns=order.test%3A5000`);
  t.deepEqual(asked(first, 'order'), expected);
  t.deepEqual(asked(mirror, 'order'), expected);
  t.deepEqual(asked(origin, 'order'), []);
});

/** More than `max_layer_size` in two thousand bytes. */
const bomb = gzipSync(tar([{ name: 'zeros', data: Buffer.alloc(1_500_000) }]), { level: 9 });

interface Failure {
  readonly what: string;
  behave(made: Image): Behaviour;
}
const failures: readonly Failure[] = [
  { what: '404', behave: () => answers(404) },
  { what: '500', behave: () => answers(500) },
  { what: '503 that asks to wait an hour', behave: () => answers(503, { 'retry-after': '3600' }) },
  { what: '429', behave: () => answers(429) },
  { what: '401', behave: () => answers(401, { 'www-authenticate': 'Basic realm="x"' }) },
  { what: '403', behave: () => answers(403) },
  { what: '400', behave: () => answers(400) },
  {
    what: 'a redirect loop',
    behave: () => (request, response) => void response.writeHead(307, { location: request.url }).end(),
  },
  { what: 'a redirect to nowhere', behave: () => answers(307, { location: 'http://127.0.0.1:1/' }) },
  { what: 'no answer', behave: () => () => undefined },
  { what: 'a closed connection', behave: () => (request) => void request.destroy() },
  { what: 'a page instead of a manifest', behave: () => (_request, response) => void response.end('<html>Log in') },
  { what: '404 for blobs', behave: () => forBlobs(answers(404)) },
  { what: '500 for blobs', behave: () => forBlobs(answers(500)) },
  { what: '403 for blobs', behave: () => forBlobs(answers(403)) },
  { what: 'a stall in the middle of a layer', behave: (made) => half(made, 'stall') },
  { what: 'a cut in the middle of a layer', behave: (made) => half(made, 'close') },
  {
    what: 'a digest of the manifest that is not its own',
    behave: () => (_request, response, next) => {
      response.setHeader('docker-content-digest', `sha256:${'0'.repeat(64)}`);
      next();
    },
  },
  {
    what: 'a manifest that is too large',
    behave: () => (_request, response) => void response.end(Buffer.alloc(5 << 20)),
  },
  {
    what: 'a layer with a flipped bit',
    behave: (made) =>
      instead(made, (blob) => {
        blob[blob.length >> 1] = (blob[blob.length >> 1] ?? 0) ^ 1;
        return blob;
      }),
  },
  { what: 'a layer with more bytes', behave: (made) => instead(made, (blob) => Buffer.concat([blob, blob])) },
  { what: 'a layer with fewer bytes', behave: (made) => instead(made, (blob) => blob.subarray(1)) },
  {
    what: 'another layer',
    behave: (made) => instead(made, (blob) => Buffer.concat([uniqueLayer().blob, blob]).subarray(0, blob.length)),
  },
  {
    what: 'a decompression bomb',
    behave: (made) => (request, response, next) => {
      const { length = 0 } = made.blobs.get(layerOf(made)) ?? [];
      if (!request.url?.includes(layerOf(made))) return next();
      // The rest is held back: what came so far is too much before there is a digest to be wrong.
      response.writeHead(200, { 'content-length': length }).write(bomb);
    },
  },
  { what: 'a layer that is no archive', behave: (made) => instead(made, (blob) => Buffer.alloc(blob.length, 'x')) },
];

test('whatever a mirror does wrong, the registry behind it gives the image', async (t) => {
  await Promise.all(
    failures.map(async ({ what, behave }, at) => {
      const repository = `mirror-${at}`;
      const made = added(repository);
      behaviours.set(repository, behave(made));
      const host = await mirrored(`mirror-${at}.test`, table(mirror));
      const { image_ref } = await pull(`${host}/${repository}:1`);
      t.is(image_ref, made.id, what);
      t.true(asked(mirror, repository).length > 0, what);
    }),
  );
});

test('a mirror that cannot be reached, or refuses, costs one try and not one a blob', async (t) => {
  const refused = added('refuses');
  behaviours.set('refuses', answers(403));
  t.is((await pull(`${await mirrored('refuses.test', table(mirror))}/refuses:1`)).image_ref, refused.id);
  t.is(asked(mirror, 'refuses').length, 1);
  await using dead = await startTestRegistry();
  const { host: nobody } = dead;
  await dead[Symbol.asyncDispose]();
  const made = added('dead', [origin]);
  const host = await mirrored('dead.test', table(`http://${nobody}`));
  t.is((await pull(`${host}/dead:1`)).image_ref, made.id);
  const log = await daemon.log();
  t.is(log.split('\n').filter((line) => line.includes(nobody) && line.includes('not from this host')).length, 1);
});

test('a cut half way goes on at the next host where the first was', async (t) => {
  const made = added('cut');
  behaviours.set('cut', half(made, 'close'));
  const host = await mirrored('cut.test', table(mirror));
  t.is((await pull(`${host}/cut:1`)).image_ref, made.id);
  const last = origin.requests.filter(({ path }) => path.includes(layerOf(made)));
  t.deepEqual(
    last.map(({ range }) => /^bytes=\d+-$/.test(range ?? '')),
    [true],
  );
});

test('half of a layer from a mirror that lies is thrown away, and the registry gives it whole', async (t) => {
  const made = added('lies');
  const size = made.blobs.get(layerOf(made))?.length ?? 0;
  behaviours.set('lies', (request, response, next) => {
    if (!request.url?.includes(layerOf(made))) return next();
    response
      .writeHead(200, { 'content-length': size })
      .write(Buffer.alloc(size >> 1, made.blobs.get(layerOf(made))?.subarray(0, 100)));
    cut(response);
  });
  const host = await mirrored('lies.test', table(mirror));
  t.is((await pull(`${host}/lies:1`)).image_ref, made.id);
  const ranges = origin.requests.filter(({ path }) => path.includes(layerOf(made))).map(({ range }) => range);
  t.is(ranges.at(-1), undefined, 'in the end it was asked for the whole');
});

test('a tag that is moved between manifest and layers changes nothing', async (t) => {
  const made = added('moves', [mirror]);
  const other = uniqueImage();
  origin.add('1', other, 'moves');
  for (const [digest, body] of made.blobs) origin.put(`moves/blobs/${digest}`, 'x', body);
  behaviours.set('moves', (request, response, next) => {
    next();
    mirror.add('1', other, 'moves');
    if (isBlob(request)) response.destroy();
  });
  const host = await mirrored('moves.test', table(mirror));
  t.is((await pull(`${host}/moves:1`)).image_ref, made.id);
});

test('a mirror without the capability resolve is asked by digest and not by tag', async (t) => {
  const made = added('capable');
  const host = await mirrored('capable.test', table(mirror, 'capabilities = ["pull"]'));
  t.is((await pull(`${host}/capable:1`)).image_ref, made.id);
  t.false(asked(mirror, 'capable').some((path) => path.includes('/manifests/')));
  t.is(asked(mirror, 'capable').length, 2, 'config and layer');
  t.deepEqual(asked(origin, 'capable'), ['/v2/capable/manifests/1?ns=capable.test']);
  await daemon.client.RemoveImage({ image: { image: made.id } });
  await pull(`${host}/capable@${made.manifest.digest}`);
  t.true(asked(mirror, 'capable').some((path) => path.includes(`/manifests/${made.manifest.digest}`)));
  await configure('incapable.test', `server = "http://${origin.host}"\ncapabilities = ["push"]`);
  await fails(
    t,
    pull('incapable.test/capable:1'),
    'failed-precondition',
    /no host in hosts\.toml has the capability pull/,
  );
});

test('when no host gives the image, one error tells what each has answered, with the code of the registry itself', async (t) => {
  behaviours.set('nowhere', answers(403));
  await using other = await startTestRegistry();
  other.behave(answers(400));
  const host = await mirrored('nowhere.test', table(mirror), table(other));
  const each = `${mirror.host} answers 403; ${other.host} answers 400; ${origin.host} answers 404`;
  const told = new RegExp(`of 3 hosts none gives it: ${each}`);
  await fails(t, pull(`${host}/nowhere:1`), 'not-found', told);
});

test('what a registry repeats of a token or a password is not in the error', async (t) => {
  behaviours.set('echo', (_request, response) => {
    const message = 'denied for Bearer hunter2hunter2 of https://me:hunter2@auth.example/?token=hunter2';
    response.writeHead(403).end(JSON.stringify({ errors: [{ code: 'DENIED', message }] }));
  });
  const host = await configure('echo.test', `server = "http://${mirror.host}"`);
  await fails(t, pull(`${host}/echo:1`), 'permission-denied', /^(?!.*hunter2).*DENIED: denied for Bearer/);
});

test('A26: credentials are those of the host that is asked, and the registry’s are not shown to its mirror', async (t) => {
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  added('private', [mirror]);
  behaviours.set('private', (request, response, next) => {
    if (request.headers.authorization === basic('me:for-the-mirror')) next();
    else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
  });
  const host = await configure('private.test', `server = "http://${origin.host}"\n${table(mirror)}`);
  const mine = { username: 'me', password: 'for-the-mirror', server_address: mirror.host };
  const { image_ref } = await pull(`${host}/private:1`, mine);
  await daemon.client.RemoveImage({ image: { image: image_ref } });
  await t.throwsAsync(pull(`${host}/private:1`, { username: 'me', password: 'for-the-registry' }));
  const shown = mirror.requests
    .filter(({ path }) => path.includes('/private/'))
    .map(({ authorization }) => authorization);
  t.deepEqual([...new Set(shown)], [undefined, basic('me:for-the-mirror')]);
});

test('headers go to their host, also with a redirect to itself, and to no other', async (t) => {
  await using storage = await startTestRegistry();
  const made = added('headers');
  storage.add('1', made, 'headers');
  behaviours.set('headers', (request, response, next) => {
    const { url = '' } = request;
    if (url.includes('/manifests/') && !url.includes('again'))
      response.writeHead(307, { location: `${url}&again=1` }).end();
    else if (isBlob(request))
      response.writeHead(307, { location: `http://localhost:${storage.host.split(':')[1]}${url}` }).end();
    else next();
  });
  const host = await configure(
    'headers.test',
    `${table(mirror)}[host."http://${mirror.host}".header]\nx-own = ["a", "b"]\nUser-Agent = "node"`,
  );
  t.is((await pull(`${host}/headers:1`)).image_ref, made.id);
  const own = mirror.requests.filter(({ path }) => path.includes('/headers/'));
  t.true(own.length >= 3);
  t.deepEqual([...new Set(own.map(({ headers }) => `${headers['x-own']} ${headers['user-agent']}`))], ['a, b node']);
  const elsewhere = storage.requests.map(({ headers }) => `${headers['x-own']} ${headers['user-agent']}`);
  t.deepEqual(elsewhere, ['undefined berth', 'undefined berth']);
});

test('override_path takes the path of the URL as it stands', async (t) => {
  const made = added('app', [mirror]);
  await using odd = await startTestRegistry();
  odd.behave((request, response) => {
    const digest = /sha256:\w+/.exec(request.url ?? '')?.[0] as Digest | undefined;
    if (!request.url?.startsWith('/api/docker/app/')) return void response.writeHead(404).end();
    response.setHeader('content-type', isBlob(request) ? 'x' : mediaTypes.manifest);
    response.end(made.blobs.get(isBlob(request) ? (digest ?? made.id) : made.manifest.digest));
  });
  const host = await configure('odd.test', `server = "http://${odd.host}/api/docker"\noverride_path = true`);
  t.is((await pull(`${host}/app:1`)).image_ref, made.id);
});

test('a registry on the loopback that does not speak TLS is spoken to without, and no other', async (t) => {
  const made = added('local', [origin]);
  t.is((await pull(`${origin.host}/local:1`)).image_ref, made.id);
  t.is((await pull(`localhost:${origin.host.split(':')[1]}/local:1`)).image_ref, made.id);
  await using six = await startTestRegistry({ address: '::1' });
  six.add('1', made, 'local');
  t.is((await pull(`${six.host}/local:1`)).image_ref, made.id);
});

test('certificates: ca, client, skip_verify and Docker’s files; each change counts for the next pull', async (t) => {
  await using closed = await startTestRegistry({ tls: { ...served(), ca: pem('ca.pem') } });
  await using misnamed = await startTestRegistry({ tls: served('other') });
  const made = added('tls', [closed, misnamed]);
  const remove = () => daemon.client.RemoveImage({ image: { image: made.id } });
  const host = 'tls.test';
  const server = `server = "https://${closed.host}"\n`;
  const attempt = async (text: string): Promise<string> => {
    await configure(host, text);
    return (await pull(`${host}/tls:1`)).image_ref;
  };
  const ca = `ca = "${tls}/ca.pem"\n`;
  await fails(t, attempt(server), 'failed-precondition', /its certificate is refused: .*as ca to its hosts\.toml/);
  await fails(t, attempt(server + ca), 'failed-precondition', /refuses the TLS connection: .*certificate/);
  for (const client of [`"${tls}/both.pem"`, `["${tls}/both.pem"]`, `[["${tls}/client.pem", "${tls}/client.key"]]`]) {
    t.is(await attempt(`${server}${ca}client = ${client}\n`), made.id, client);
    await remove();
  }
  // The connection that the certificate has opened is not used once it is gone.
  await fails(t, attempt(server + ca), 'failed-precondition', /refuses the TLS connection/);
  await fails(
    t,
    attempt(`server = "https://${misnamed.host}"\n${ca}`),
    'failed-precondition',
    /certificate is refused/,
  );
  t.is(await attempt(`server = "https://${misnamed.host}"\nskip_verify = true`), made.id);
  await remove();

  const bare = join(certs, closed.host);
  await mkdir(bare);
  for (const [from, to] of [
    ['ca.pem', 'some.crt'],
    ['client.pem', 'node.cert'],
    ['client.key', 'node.key'],
  ] as const)
    await writeFile(join(bare, to), await readFile(join(tls, from)));
  t.is((await pull(`${closed.host}/tls:1`)).image_ref, made.id);
  await remove();
});

test('a client’s certificate is for its own host, and a CA for the hosts that it leads to as well', async (t) => {
  await using closed = await startTestRegistry({ tls: { ...served(), ca: pem('ca.pem') } });
  await using storage = await startTestRegistry({ tls: served() });
  await using curious = await startTestRegistry({ tls: { ...served(), ca: pem('ca.pem') } });
  const made = added('leads', [closed, storage, curious]);
  const text = `server = "https://${closed.host}"\nca = "${tls}/ca.pem"\nclient = "${tls}/both.pem"`;
  const name = `${await configure('leads.test', text)}/leads:1`;
  let to = curious;
  closed.behave((request, response, next) => {
    if (isBlob(request)) response.writeHead(307, { location: `https://${to.host}${request.url}` }).end();
    else next();
  });
  await fails(t, pull(name), 'failed-precondition', new RegExp(`${curious.host} refuses the TLS connection`));
  to = storage;
  t.is((await pull(name)).image_ref, made.id);
});

test('a kept connection that the registry has closed meanwhile is no failure of it', async (t) => {
  const made = added('stale', [origin]);
  await using other = await startTestRegistry();
  const used = new WeakSet<object>();
  other.behave(({ socket }, _response, next) => {
    if (used.has(socket)) return void socket.resetAndDestroy();
    used.add(socket);
    next();
  });
  other.add('1', made, 'stale');
  const host = await mirrored('stale.test', table(other));
  t.is((await pull(`${host}/stale:1`)).image_ref, made.id);
  t.deepEqual(asked(origin, 'stale'), []);
});

test('a redirect from https to http is refused', async (t) => {
  await using secure = await startTestRegistry({ tls: served() });
  const made = added('down', [secure, origin]);
  secure.behave((request, response, next) => {
    if (isBlob(request)) response.writeHead(307, { location: `http://${origin.host}${request.url}` }).end();
    else next();
  });
  const host = await configure('downgrade.test', `server = "https://${secure.host}"\nca = "${tls}/ca.pem"`);
  await fails(t, pull(`${host}/down:1`), 'failed-precondition', /is to be reached by plain HTTP/);
  t.deepEqual(
    asked(origin, 'down').filter((path) => path.includes(layerOf(made))),
    [],
  );
});

test('what is wrong in a hosts.toml, or in what it names, is the error of the pull, with file, line and key', async (t) => {
  const at = (text: string) => async () => pull(`${await configure('wrong.test', text)}/app:1`);
  const file = `${certs}/wrong.test/hosts.toml`;
  const key = 'failed-precondition';
  await fails(
    t,
    at('server = "https://a"\nskip_verify = 1')(),
    key,
    new RegExp(`${file}:2: skip_verify: wants true or false, not 1`),
  );
  await fails(t, at('server = ["')(), key, new RegExp(`${file}:1: `));
  await fails(
    t,
    at('\nca = "none.pem"')(),
    key,
    new RegExp(`${file}:2: ca: ${certs}/wrong.test/none.pem: there is no such file`),
  );
  await fails(t, at(`ca = "${tls}/ca.key"`)(), key, /:1: ca: .*ca\.key: has no certificate in PEM/);
  await fails(t, at(`client = "${tls}/client.pem"`)(), key, /:1: client: .*client\.pem: /);
  await fails(
    t,
    at(`client = [["${tls}/client.pem", "${tls}/server.key"]]`)(),
    key,
    /server\.key: is not the key of the certificate in/,
  );
  const two = `client = ["${tls}/both.pem", ["${tls}/server.pem", "${tls}/server.key"]]`;
  await fails(t, at(two)(), key, /is the second client certificate with a key of kind ec/);
});

test('_default is for registries without a directory, and host_port_ comes before host:port', async (t) => {
  const made = added('named');
  await configure('_default', `server = "http://${origin.host}"`);
  t.is((await pull('any.test:7000/named:1')).image_ref, made.id);
  t.deepEqual(asked(origin, 'named')[0], '/v2/named/manifests/1?ns=any.test%3A7000');
  await configure('any.test:7000', `server = "http://127.0.0.1:1"`);
  await configure('any.test_7000_', `server = "http://${mirror.host}"`);
  await pull('any.test:7000/named:1');
  t.deepEqual(asked(mirror, 'named')[0], '/v2/named/manifests/1?ns=any.test%3A7000');
  await rm(join(certs, '_default'), { recursive: true });
});

test('the log has the beginning and the end of a pull, with bytes, seconds and hosts', async (t) => {
  const made = added('told');
  const host = await mirrored('told.test', table(mirror));
  await pull(`${host}/told:1`);
  const lines = (await daemon.log()).split('\n').filter((line) => line.includes('told.test/told:1'));
  const find = (msg: string) => lines.map((line) => JSON.parse(line)).filter((line) => line.msg === msg);
  t.is(find('pull begins').length, 1);
  const [end] = find('image is pulled');
  const bytes = [made.id, layerOf(made)].reduce((sum, digest) => sum + (made.blobs.get(digest)?.length ?? 0), 0);
  t.like(end, { id: made.id, bytes, hosts: { [mirror.host]: bytes } });
  t.true(end.seconds >= 0 && end.seconds < 30);
});

test('RegistryUnavailable is told when a registry and its mirrors are down, and for nothing else', async (t) => {
  const outcomes = new Map(await Promise.all(slow));
  for (const [repository, status] of Object.entries(mirrorsOfTheDead)) {
    const error = outcomes.get(repository);
    if (!(error instanceof BerthError)) return t.fail(`${repository}: ${String(error)}`);
    t.is(error.code, status === 403 ? 'unavailable' : 'unknown');
    const start = status === 403 ? 'pull image ' : 'RegistryUnavailable: pull image ';
    t.true(
      error.message.startsWith(`${start}${repository}.test/${repository}:1: manifest 1: of 2 hosts`),
      error.message,
    );
    const told = new RegExp(`${mirror.host} answers ${status}; 127\\.0\\.0\\.1:1 cannot be reached: .*ECONNREFUSED`);
    t.regex(error.message, told);
  }
});

test('a registry that asks to wait is asked again then, in seconds or by a date', async (t) => {
  const outcomes = new Map(await Promise.all(slow));
  for (const what of ['seconds', 'date']) {
    const ms = outcomes.get(what);
    t.true(typeof ms === 'number' && ms > 900, `${what}: ${String(ms)}`);
  }
});
