import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { type Digest, sha256 } from '../base/digest.ts';
import { BerthError, type ErrorCode, messageOf } from '../base/errors.ts';
import { TestDaemon } from './harness/daemon.ts';
import { type Image, image, layer, mediaTypes } from './harness/image.ts';
import { type Behaviour, cut, isBlob, startTestRegistry, type TestRegistry } from './harness/own-registry.ts';
import { tar } from './harness/tar.ts';

// What registry.test.ts has of a registry that does wrong is not here again.
// The registry is in this process, so the daemon is in the machine's network; it makes no pods there.
let daemon: TestDaemon;
let registry: TestRegistry;
/** Answers with bytes that are no HTTP. */
let babbler: Server;
const behaviours = new Map<string, Behaviour>();
const tokens = new Map<string, Behaviour>();

test.before('berthd, and a registry that behaves as it is told', async () => {
  registry = await startTestRegistry();
  registry.behave((request, response, next) => {
    const [, area, repository = ''] = /^\/(v2|token)\/([^/?]+)/.exec(request.url ?? '') ?? [];
    const own = (area === 'v2' ? behaviours : tokens).get(repository);
    if (own === undefined) next();
    else own(request, response, next);
  });
  babbler = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end('220 mail.example ESMTP\r\n'.repeat(3));
  });
  await new Promise<void>((done) => babbler.listen(0, '127.0.0.1', done));
  daemon = await TestDaemon.start({
    network: 'none',
    hostNetwork: true,
    images: [],
    config: { registry: { plain_http: ['127.0.0.1'], stall_seconds: 1 }, images: { max_layer_size: '16MiB' } },
  });
});

test.after.always(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  babbler?.close();
});

const pull = (repository: string, host = registry.host): Promise<{ image_ref: string }> =>
  daemon.client.PullImage({ image: { image: `${host}/${repository}:1` } }, { timeoutMs: 60_000 });
/** Everything in the daemon's root directory. */
const tree = async (): Promise<string> => {
  await daemon.deleteGarbage();
  return daemon.world.sh(`cd ${daemon.world.path('root')} && find . -printf '%y %P\\n' | sort`);
};

let serial = 0;
/** No two layers are the same: what one case fetches must not be there for another. */
const newImage = (bytes = 200_000): Image => {
  serial += 1;
  return image([layer([{ name: `one-${serial}`, data: randomBytes(bytes) }])], {});
};
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
/** Its only layer. */
const layerOf = (made: Image): { readonly digest: Digest; readonly body: Buffer } => {
  const [digest, body] = [...made.blobs].toSorted(([, a], [, b]) => b.length - a.length)[0] ?? [
    made.id,
    Buffer.alloc(0),
  ];
  return { digest, body };
};
type Act = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;
/** Does this for the layer, and all else as it should be. */
const forLayer = (made: Image, act: Act): Behaviour => {
  const { digest, body } = layerOf(made);
  return (request, response, next) => (request.url?.endsWith(digest) ? act(request, response, body) : next());
};
const forManifest =
  (act: (response: ServerResponse, request: IncomingMessage) => void): Behaviour =>
  (request, response, next) =>
    isBlob(request) ? next() : act(response, request);
const manifestOf = (made: Image): Buffer => made.blobs.get(made.manifest.digest) ?? Buffer.alloc(0);
const answering = (status: number, headers: Record<string, string | string[]> = {}): Behaviour =>
  forManifest((response) => void response.writeHead(status, headers).end());
/** From the byte that is asked for, as a registry with ranges does. */
const ranged = (request: IncomingMessage, response: ServerResponse, body: Buffer, headers = {}): number => {
  const begin = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const range = begin > 0 ? { 'content-range': `bytes ${begin}-${body.length - 1}/${body.length}` } : {};
  response.writeHead(begin > 0 ? 206 : 200, { 'content-length': body.length - begin, ...range, ...headers });
  return begin;
};
const trickle = (response: ServerResponse, body: Buffer, from = 0): void => {
  let at = from;
  const timer = setInterval(() => response.write(body.subarray(at, ++at)), 100);
  response.once('close', () => clearInterval(timer));
};
/** Writes without end, as fast as the other side reads. */
const flood = (response: ServerResponse, chunk = Buffer.alloc(1 << 16, ' ')): void => {
  const more = (): void => {
    if (!response.destroyed) response.write(chunk, more);
  };
  more();
};
const challenge = (repository: string): string =>
  `Bearer realm="http://${registry.host}/token/${repository}",service="s",scope="repository:${repository}:pull"`;

/** As the kubelet tells errors apart: a code, or the beginning of one without. */
type Kind = ErrorCode | 'RegistryUnavailable';
const kindOf = ({ code, message }: BerthError): Kind =>
  message.startsWith('RegistryUnavailable: ') ? 'RegistryUnavailable' : code;

interface Case {
  readonly what: string;
  readonly code: Kind;
  readonly message: RegExp;
  readonly behave: (made: Image, repository: string) => Behaviour;
  readonly token?: Behaviour;
  readonly made?: () => Image;
}

const asksForToken = (token: Behaviour, code: Kind, what: string, message: RegExp): Case => ({
  what,
  code,
  message,
  behave: (_made, repository) => answering(401, { 'www-authenticate': challenge(repository) }),
  token,
});
const gives =
  (body: string | Buffer, status = 200): Behaviour =>
  (_request, response) =>
    void response.writeHead(status).end(body);
const floods: Behaviour = (_request, response) => flood(response);

const bomb = (): Image => {
  const plain = tar([{ name: 'zeros', data: Buffer.alloc(24 << 20) }]);
  const blob = gzipSync(plain);
  return image([{ diffId: sha256(plain), digest: sha256(blob), blob }], {});
};
const withLayers = (count: number): Behaviour =>
  forManifest((response) => {
    const one = { mediaType: mediaTypes.layer, size: 100, digest: sha256('x') };
    const config = { mediaType: mediaTypes.config, size: 100, digest: sha256('y') };
    const layers = Array.from({ length: count }, () => one);
    const body = json({ schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers });
    response.writeHead(200, { 'content-type': mediaTypes.manifest }).end(body);
  });

const cases: readonly Case[] = [
  {
    what: 'a manifest whose bytes come one by one',
    code: 'RegistryUnavailable',
    message: /stalls: fewer than 1024 bytes a second for 1 s/,
    behave: (made) => forManifest((response) => trickle(response.writeHead(200), manifestOf(made))),
  },
  {
    what: 'a layer whose bytes come one by one',
    code: 'RegistryUnavailable',
    message: /stalls: fewer than 1024 bytes a second for 1 s/,
    behave: (made) =>
      forLayer(made, (request, response, body) => trickle(response, body, ranged(request, response, body))),
  },
  {
    what: 'a header whose bytes come one by one',
    code: 'RegistryUnavailable',
    message: /stalls: no byte for 1 s/,
    behave: () => (_request, response) => {
      const timer = setInterval(() => response.socket?.write('x'), 100);
      response.once('close', () => clearInterval(timer));
      response.socket?.write('HTTP/1.1 200 OK\r\nx: ');
    },
  },
  {
    what: 'nothing but 100 Continue',
    code: 'RegistryUnavailable',
    message: /stalls: no byte for 1 s/,
    behave: () => (_request, response) => {
      const timer = setInterval(() => response.writeContinue(), 50);
      response.once('close', () => clearInterval(timer));
    },
  },
  {
    what: 'a layer that is cut after every few bytes',
    code: 'RegistryUnavailable',
    message: /cannot be reached/,
    behave: (made) =>
      forLayer(made, (request, response, body) => {
        const begin = ranged(request, response, body);
        response.write(body.subarray(begin, begin + 10 + Math.floor(Math.random() * 1000)));
        cut(response, 1);
      }),
  },
  {
    what: 'a shorter layer without its length',
    code: 'data-loss',
    message: /ends after \d+ of \d+ bytes/,
    behave: (made) =>
      forLayer(made, (_request, response, body) => void response.writeHead(200).end(body.subarray(0, -1))),
  },
  {
    what: 'a longer layer without its length',
    code: 'data-loss',
    message: /more than the \d+ bytes/,
    behave: (made) =>
      forLayer(made, (_request, response, body) => void response.writeHead(200).end(Buffer.concat([body, body]))),
  },
  {
    what: 'a layer without end',
    code: 'data-loss',
    message: /more than the \d+ bytes/,
    behave: (made) =>
      forLayer(made, (_request, response, body) => {
        response.writeHead(200).write(body);
        flood(response);
      }),
  },
  {
    what: '429 for ever without Retry-After',
    code: 'RegistryUnavailable',
    message: /manifest 1: .* answers 429/,
    behave: () => answering(429),
  },
  {
    what: '429 for ever with a Retry-After of nothing',
    code: 'RegistryUnavailable',
    message: /blob .* answers 429/,
    behave: (made) =>
      forLayer(made, (_request, response) => void response.writeHead(429, { 'retry-after': '0' }).end()),
  },
  {
    what: '429 with a Retry-After of a year',
    code: 'RegistryUnavailable',
    message: /answers 429/,
    behave: () => answering(429, { 'retry-after': 'Fri, 01 Jan 2038 00:00:00 GMT' }),
  },
  {
    what: 'a token that is never good',
    code: 'unauthenticated',
    message: /answers 401.*none were given/,
    behave: (_made, repository) => answering(401, { 'www-authenticate': challenge(repository) }),
    token: gives('{"token": "t"}'),
  },
  asksForToken(
    gives('{"token": 5}'),
    'invalid-argument',
    'a token that is a number',
    /token of .*: token is not a string/,
  ),
  asksForToken(gives('{}'), 'unauthenticated', 'an answer without a token', /the answer has no token/),
  asksForToken(gives('<html>'), 'invalid-argument', 'a token that is a page', /not a JSON object/),
  asksForToken(
    gives('{"token": "a\\nX: b"}'),
    'invalid-argument',
    'a token with a line break',
    /characters that no token has/,
  ),
  asksForToken(gives('', 503), 'RegistryUnavailable', 'a token endpoint that is down', /token of .* answers 503/),
  asksForToken(
    gives('{"details":"no"}', 403),
    'permission-denied',
    'a token endpoint that refuses',
    /token of .* answers 403/,
  ),
  asksForToken(floods, 'resource-exhausted', 'a token without end', /token of .*more than 1048576 bytes/),
  asksForToken(() => undefined, 'RegistryUnavailable', 'a token endpoint that is silent', /stalls: no byte for 1 s/),
  {
    what: 'a realm that is no URL',
    code: 'unauthenticated',
    message: /names a token realm that is not a URL/,
    behave: () => answering(401, { 'www-authenticate': 'Bearer realm="::"' }),
  },
  {
    what: 'a realm that is a file',
    code: 'failed-precondition',
    message: /only https and http are spoken/,
    behave: () => answering(401, { 'www-authenticate': 'Bearer realm="file:///etc/shadow"' }),
  },
  {
    what: '401 without a challenge',
    code: 'unauthenticated',
    message: /answers 401 and asks for neither Basic nor Bearer/,
    behave: () => answering(401),
  },
  {
    what: '401 with a challenge that nobody knows',
    code: 'unauthenticated',
    message: /answers 401 and asks for neither Basic nor Bearer/,
    behave: () => answering(401, { 'www-authenticate': ['Negotiate', 'Digest realm="x"'] }),
  },
  {
    what: 'a redirect without a place',
    code: 'unavailable',
    message: /redirects to what is not a URL/,
    behave: () => answering(302),
  },
  {
    what: 'a redirect to a file',
    code: 'failed-precondition',
    message: /only https and http are spoken/,
    behave: () => answering(307, { location: 'file:///etc/shadow' }),
  },
  {
    what: 'redirects that never end',
    code: 'unavailable',
    message: /more than 5 redirects/,
    behave: () => (request, response) => void response.writeHead(302, { location: `${request.url}x` }).end(),
  },
  { what: '204', code: 'failed-precondition', message: /answers 204/, behave: () => answering(204) },
  { what: '304', code: 'failed-precondition', message: /answers 304/, behave: () => answering(304) },
  {
    what: '206 for a manifest',
    code: 'failed-precondition',
    message: /answers 206/,
    behave: (made) =>
      forManifest(
        (response) => void response.writeHead(206, { 'content-range': 'bytes 0-9/10' }).end(manifestOf(made)),
      ),
  },
  {
    what: '206 for a layer that was asked for whole',
    code: 'failed-precondition',
    message: /answers 206/,
    behave: (made) =>
      forLayer(
        made,
        (_request, response, body) =>
          void response.writeHead(206, { 'content-range': `bytes 0-${body.length - 1}/${body.length}` }).end(body),
      ),
  },
  {
    what: 'a range that was not asked for',
    code: 'data-loss',
    message: /asked for bytes \d+-\d+ of \d+, got the range bytes 0-/,
    behave: (made) =>
      forLayer(made, (request, response, body) => {
        if (request.headers.range !== undefined)
          return void response
            .writeHead(206, { 'content-range': `bytes 0-${body.length - 1}/${body.length}` })
            .end(body);
        response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, 100_000));
        cut(response, 16);
      }),
  },
  {
    what: '416 for the rest of a layer',
    code: 'data-loss',
    message: /answers 416/,
    behave: (made) =>
      forLayer(made, (request, response, body) => {
        if (request.headers.range !== undefined) return void response.writeHead(416).end();
        response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, 100_000));
        cut(response, 16);
      }),
  },
  {
    what: 'other bytes behind a cut, with another ETag',
    code: 'data-loss',
    message: /layer sha256:\w+/,
    behave: (made) =>
      forLayer(made, (request, response, body) => {
        if (request.headers.range !== undefined) {
          const begin = ranged(request, response, body, { etag: '"second"' });
          return void response.end(randomBytes(body.length - begin));
        }
        response.writeHead(200, { 'content-length': body.length, etag: '"first"' }).write(body.subarray(0, 100_000));
        cut(response, 16);
      }),
  },
  {
    what: 'a header of 100 KiB',
    code: 'RegistryUnavailable',
    message: /Header overflow/,
    behave: () => (_request, response) => void response.writeHead(200, { x: 'y'.repeat(100 << 10) }).end(),
  },
  {
    what: 'ten thousand headers',
    code: 'RegistryUnavailable',
    message: /Header overflow/,
    behave: () => (_request, response) => {
      const headers = Array.from({ length: 10_000 }, (_, at): [string, string] => [`x-${at}`, 'y']);
      response.writeHead(200, headers.flat()).end();
    },
  },
  {
    what: 'a manifest that is compressed',
    code: 'invalid-argument',
    message: /not JSON/,
    behave: (made) =>
      forManifest(
        (response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(manifestOf(made))),
      ),
  },
  {
    what: 'a page with a login',
    code: 'invalid-argument',
    message: /not JSON/,
    behave: () =>
      forManifest((response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')),
  },
  {
    what: 'a digest in its header that is not the manifest’s',
    code: 'data-loss',
    message: /its content has the digest/,
    behave: (made) =>
      forManifest(
        (response) =>
          void response
            .writeHead(200, { 'content-type': mediaTypes.manifest, 'docker-content-digest': sha256('another') })
            .end(manifestOf(made)),
      ),
  },
  {
    what: 'a manifest of ten thousand layers',
    code: 'unimplemented',
    message: /10000 layers, at most 500 can be mounted/,
    behave: () => withLayers(10_000),
  },
  {
    what: 'a manifest without end',
    code: 'resource-exhausted',
    message: /more than 4194304 bytes/,
    behave: () => forManifest((response) => flood(response.writeHead(200))),
  },
  {
    what: 'an error without end',
    code: 'permission-denied',
    message: /answers 403$/,
    behave: () => forManifest((response) => flood(response.writeHead(403))),
  },
  {
    what: 'an error that is a deep JSON',
    code: 'permission-denied',
    message: /answers 403$/,
    behave: () => forManifest((response) => void response.writeHead(403).end('['.repeat(4000))),
  },
  {
    what: 'an error with control characters',
    code: 'permission-denied',
    message: /answers 403 \(DENIED: \?\[2Jgone\?\)$/,
    behave: () =>
      forManifest(
        (response) => void response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"\\u001b[2Jgone\\n"}]}'),
      ),
  },
  {
    what: 'a manifest of a million levels',
    code: 'invalid-argument',
    message: /nested more than 64 deep/,
    behave: () =>
      forManifest((response) => void response.writeHead(200).end(`{"layers":${'['.repeat(1e6)}${']'.repeat(1e6)}}`)),
  },
  {
    what: 'a gzip bomb',
    code: 'resource-exhausted',
    message: /unpacks to more than 16777216 bytes/,
    behave: () => (_request, _response, next) => next(),
    made: bomb,
  },
  {
    what: 'layers that go while a tag is moved',
    code: 'not-found',
    message: /blob sha256:\w+: .* answers 404/,
    behave: (made) => forLayer(made, (_request, response) => void response.writeHead(404).end()),
  },
];

const slug = (what: string): string =>
  what
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');

test.serial(
  'each way of misbehaving has its code and its reason, leaves nothing, and the next pull is good',
  async (t) => {
    const images = cases.map(({ what, behave, token, made = newImage }) => {
      const one = made();
      registry.add('1', one, slug(what));
      behaviours.set(slug(what), behave(one, slug(what)));
      if (token !== undefined) tokens.set(slug(what), token);
      return one;
    });
    const before = await tree();
    // All at once: those that stall take seconds.
    const told = await Promise.all(
      cases.map(async ({ what, message }) => {
        const error = await pull(slug(what)).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (!(error instanceof BerthError)) return `${what}: ${messageOf(error)}`;
        t.regex(error.message, message, what);
        t.true(error.message.length < 2000, `${what}: ${error.message.length} characters`);
        return `${what}: ${kindOf(error)}`;
      }),
    );
    t.deepEqual(
      told,
      cases.map(({ what, code }) => `${what}: ${code}`),
    );
    t.is(await tree(), before);
    behaviours.clear();
    const good = images.map(async ({ id }, at) => {
      const { what = '' } = cases[at] ?? {};
      if (what === 'a gzip bomb') return;
      t.is((await pull(slug(what))).image_ref, id, what);
      await daemon.client.RemoveImage({ image: { image: id } });
    });
    await Promise.all(good);
    t.is(await tree(), before);
  },
);

test.serial('what is no HTTP at all is unavailable', async (t) => {
  const error = await t.throwsAsync(pull('x', `127.0.0.1:${(babbler.address() as AddressInfo).port}`));
  t.regex(error?.message ?? '', /RegistryUnavailable: .*cannot be reached: Parse Error/);
});

/** Odd, but everything comes: the pull is good. */
const harmless: Readonly<Record<string, (made: Image, repository: string) => Behaviour>> = {
  'a layer in chunks without its length': (made) =>
    forLayer(made, (_request, response, body) => void response.writeHead(200).end(body)),
  'a layer whose end is the end of the connection': (made) =>
    forLayer(made, (_request, response, body) => {
      response.socket?.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'), body]));
    }),
  'a layer that says it is compressed as it is': (made) =>
    forLayer(
      made,
      (_request, response, body) =>
        void response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': body.length }).end(body),
    ),
  'cuts at random bytes': (made) => {
    let cuts = 0;
    return forLayer(made, (request, response, body) => {
      const begin = ranged(request, response, body);
      cuts += 1;
      if (cuts > 3) return void response.end(body.subarray(begin));
      response.write(body.subarray(begin, begin + 40_000 + Math.floor(Math.random() * 10_000)));
      cut(response);
    });
  },
  'a cut, and a server that ignores ranges': (made) => {
    let cuts = 0;
    return forLayer(made, (_request, response, body) => {
      response.writeHead(200, { 'content-length': body.length });
      cuts += 1;
      if (cuts > 2) return void response.end(body);
      response.write(body.subarray(0, 50_000 * cuts));
      cut(response);
    });
  },
  '429 and 503 at first': () => {
    let failures = 0;
    return (_request, response, next) => {
      failures += 1;
      if (failures > 2) next();
      else response.writeHead(failures === 1 ? 429 : 503).end();
    };
  },
  'a manifest of another type': (made) =>
    forManifest(
      (response) => void response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end(manifestOf(made)),
    ),
  'a redirect back to itself with a query': (made) => (request, response, next) => {
    const { digest, body } = layerOf(made);
    if (!request.url?.includes(digest)) return next();
    if (request.url.includes('?')) return void response.end(body);
    response.writeHead(307, { location: `${request.url}?signature=x` }).end();
  },
};

for (const [what, behave] of Object.entries(harmless))
  test.serial(`${what}: the pull is good`, async (t) => {
    const made = newImage();
    registry.add('1', made, slug(what));
    behaviours.set(slug(what), behave(made, slug(what)));
    t.is((await pull(slug(what))).image_ref, made.id);
    await daemon.client.RemoveImage({ image: { image: made.id } });
  });

test.serial(
  'a tag that moves between the manifest and the layers: the pull has the one that it began with',
  async (t) => {
    const [first, second] = [newImage(), newImage()];
    registry.add('1', first, 'moving');
    behaviours.set('moving', (request, _response, next) => {
      if (isBlob(request)) registry.add('1', second, 'moving');
      next();
    });
    t.is((await pull('moving')).image_ref, first.id);
    t.is((await pull('moving')).image_ref, second.id);
    for (const { id } of [first, second]) await daemon.client.RemoveImage({ image: { image: id } });
  },
);

test.serial('401 half way: a new token is asked for, and the layer goes on where it was', async (t) => {
  const made = newImage();
  registry.add('1', made, 'expiring');
  const { digest } = layerOf(made);
  let issued = 0;
  tokens.set('expiring', (_request, response) => {
    issued += 1;
    response.end(JSON.stringify({ token: `t${issued}` }));
  });
  const wanted = (): string => `Bearer t${issued}`;
  let isCut = false;
  behaviours.set('expiring', (request, response, next) => {
    const isLayer = request.url?.endsWith(digest) ?? false;
    const isExpired = isLayer && isCut && issued === 1;
    if (request.headers.authorization !== wanted() || issued === 0 || isExpired)
      return void response.writeHead(401, { 'www-authenticate': challenge('expiring') }).end();
    if (!isLayer || isCut) return next();
    isCut = true;
    const { body } = layerOf(made);
    response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, 100_000));
    cut(response, 16);
  });
  t.is((await pull('expiring')).image_ref, made.id);
  t.is(issued, 2);
  const asked = registry.requests.filter(({ path }) => path.includes('/expiring/') && path.endsWith(digest));
  t.is(asked[0]?.range, undefined);
  const ranges = asked.slice(1).map(({ range, authorization }) => [range, authorization]);
  t.deepEqual(ranges, [
    [asked[1]?.range, 'Bearer t1'],
    [asked[1]?.range, 'Bearer t2'],
  ]);
  t.regex(asked[1]?.range ?? '', /^bytes=[1-9]\d*-$/);
  await daemon.client.RemoveImage({ image: { image: made.id } });
});

test.serial('after all of this the daemon has never held more than a few documents', async (t) => {
  const status = await daemon.world.sh(`cat /proc/${daemon.pid}/status`);
  const peak = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 'nothing');
  t.true(peak < 300 << 10, `${peak} kB`);
});

test.serial(
  'what came of a layer before a cut outlives kill -9 of the daemon, and the next pull goes on behind it',
  async (t) => {
    const before = await tree();
    const made = newImage(3 << 20);
    registry.add('1', made, 'kept');
    const { digest } = layerOf(made);
    behaviours.set(
      'kept',
      forLayer(made, (request, response, body) => {
        if (request.headers.range !== undefined) return void response.writeHead(404).end();
        response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, 2 << 20));
        cut(response, 30);
      }),
    );
    await t.throwsAsync(pull('kept'), { message: /answers 404/ });
    const left = (await tree()).split('\n').filter((line) => !before.includes(line));
    t.is(left.length, 1, left.join('\n'));
    const [, size] = new RegExp(`partial/sha256-${digest.slice(7)}\\.(\\d+)\\.`).exec(left[0] ?? '') ?? [];
    await daemon.killAndBoot();
    behaviours.delete('kept');
    t.is((await pull('kept')).image_ref, made.id);
    const asked = registry.requests.filter(({ path }) => path.endsWith(digest));
    t.is(asked.at(-1)?.range, `bytes=${size}-`);
    await daemon.client.RemoveImage({ image: { image: made.id } });
    t.is(await tree(), before);
  },
);
