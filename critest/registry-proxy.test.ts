import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { dir } from 'tmp-promise';
import { TestDaemon } from './harness/daemon.ts';
import { type Image, image, layer } from './harness/image.ts';
import { type Behaviour, isBlob, startTestRegistry, type TestRegistry } from './harness/own-registry.ts';
import { fails } from './harness/suite.ts';
import { until } from './harness/until.ts';

// Registries and proxies are in this process; names that end in .example are known to the proxies alone.
let daemon: TestDaemon;
let secure: TestRegistry;
let plain: TestRegistry;
let proxy: TestProxy;
let secureProxy: TestProxy;
let directory: string;

const password = Buffer.from('me:s3cret').toString('base64');

const makeCertificates = `
  set -e
  new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
  new -x509 -days 2 -subj '/CN=a test CA' -keyout ca.key -out ca.pem
  for one in server=IP:127.0.0.1,DNS:registry.example proxy=IP:127.0.0.1; do
    name=\${one%%=*}
    new -subj /CN=x -keyout $name.key -out $name.csr
    echo "subjectAltName=\${one#*=}" >$name.ext
    openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile $name.ext -out $name.pem 2>/dev/null
  done`;

interface TestProxy extends AsyncDisposable {
  readonly address: string;
  /** `CONNECT host:port authorization`, or `GET url authorization`. */
  readonly seen: string[];
}

const statuses: Readonly<Record<string, number>> = { 'forbidden.example': 403, 'locked.example': 407 };
/** A name that the proxy cannot reach the first time. */
const late = 'registry.example';

/** Leads every name to the one registry that it is for; some names it does not lead anywhere. */
const startProxy = async (tls?: { readonly cert: string; readonly key: string }): Promise<TestProxy> => {
  const seen: string[] = [];
  const note = ({ method, url, headers }: IncomingMessage): void =>
    void seen.push(`${method} ${url} ${headers['proxy-authorization']}`);
  const forward: RequestListener = (request, response) => {
    note(request);
    const { hostname, pathname } = new URL(request.url ?? '');
    if (statuses[hostname] !== undefined) return void response.writeHead(statuses[hostname]).end();
    const { 'proxy-authorization': _, ...headers } = request.headers;
    httpRequest({ host: '127.0.0.1', port: plain.host.split(':')[1], path: pathname, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    }).end();
  };
  const server: Server = tls === undefined ? createServer(forward) : createTlsServer(tls, forward);
  const open = new Set<Socket>();
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    note(request);
    const name = request.url?.split(':')[0] ?? '';
    const status = statuses[name] ?? (name === late && seen.length === 1 ? 502 : 200);
    if (status !== 200) return void socket.end(`HTTP/1.1 ${status} x\r\n\r\n`);
    const onward = connect(Number(secure.host.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 ok\r\n\r\n');
      onward.pipe(socket).pipe(onward);
    });
    for (const one of [socket, onward]) {
      open.add(one);
      one.on('error', () => {});
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
};

test.before('berthd behind a proxy', async () => {
  ({ path: directory } = await dir({ prefix: 'bt-proxy-', mode: 0o755 }));
  await promisify(execFile)('sh', ['-c', makeCertificates], { cwd: directory });
  const pair = async (name: string) => ({
    cert: await readFile(join(directory, `${name}.pem`), 'utf8'),
    key: await readFile(join(directory, `${name}.key`), 'utf8'),
  });
  [secure, plain, proxy, secureProxy] = await Promise.all([
    startTestRegistry({ tls: await pair('server') }),
    startTestRegistry(),
    startProxy(),
    startProxy(await pair('proxy')),
  ]);
  await mkdir(join(directory, 'direct.example'));
  await writeFile(join(directory, 'direct.example/hosts.toml'), `server = "https://${secure.host}"`);
  daemon = await TestDaemon.start({
    network: 'none',
    hostNetwork: true,
    images: [],
    config: {
      registry: { config_path: [directory], plain_http: ['plain.example', 'locked.example'], stall_seconds: 5 },
      images: { parallel_pulls: 1 },
    },
    env: {
      SSL_CERT_FILE: join(directory, 'ca.pem'),
      HTTPS_PROXY: `http://me:s3cret@${proxy.address}`,
      HTTP_PROXY: `me:s3cret@${proxy.address}`,
      NO_PROXY: 'exempt.example,10.0.0.0/8',
    },
  });
});

test.after.always(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await Promise.all([secure, plain, proxy, secureProxy].map((one) => one?.[Symbol.asyncDispose]()));
  await rm(directory, { recursive: true, force: true });
});

const pull = (name: string, signal?: AbortSignal) =>
  daemon.client.PullImage({ image: { image: name } }, { timeoutMs: 30_000, ...(signal && { signal }) });

let serial = 0;
const added = (registry: TestRegistry, repository: string): Image => {
  serial += 1;
  const made = image([layer([{ name: `unique-${serial}` }])], { Cmd: [`${serial}`] });
  registry.add('1', made, repository);
  return made;
};

test('a registry is reached by CONNECT through the proxy, with the proxy’s own credentials and TLS inside, and again after a 502', async (t) => {
  const made = added(secure, 'app');
  t.is((await pull('registry.example/app:1')).image_ref, made.id);
  t.deepEqual([...new Set(proxy.seen)], [`CONNECT registry.example:443 Basic ${password}`]);
  t.true(proxy.seen.length < secure.requests.length, 'a tunnel serves several requests');
  for (const { headers } of secure.requests) t.is(headers['proxy-authorization'], undefined);
});

test('plain HTTP goes through the proxy as it is, and the loopback past it', async (t) => {
  const made = added(plain, 'plain');
  t.is((await pull('plain.example/plain:1')).image_ref, made.id);
  t.true(proxy.seen.includes(`GET http://plain.example/v2/plain/manifests/1 Basic ${password}`), proxy.seen.join());
  const before = proxy.seen.length;
  const direct = added(secure, 'direct');
  t.is((await pull('direct.example/direct:1')).image_ref, direct.id);
  t.is(proxy.seen.length, before);
});

test('a host in NO_PROXY is not looked for by the proxy', async (t) => {
  const before = proxy.seen.length;
  await fails(
    t,
    pull('exempt.example/app:1'),
    'unknown',
    /^RegistryUnavailable: .*: exempt\.example cannot be reached: /,
  );
  t.is(proxy.seen.length, before);
});

test('a proxy that does not let a request through is named in the error, without its password', async (t) => {
  const at = proxy.address.replaceAll('.', '\\.');
  const cases = [
    [
      'forbidden.example/app:1',
      'failed-precondition',
      `proxy ${at} for forbidden\\.example:443 answers 403 to CONNECT`,
    ],
    ['locked.example/app:1', 'failed-precondition', `proxy ${at} for locked\\.example answers 407`],
  ] as const;
  for (const [name, code, message] of cases) await fails(t, pull(name), code, new RegExp(`(?!.*s3cret)${message}`));
});

test('more pulls than may run at once wait in line, and one that gives up leaves it at once', async (t) => {
  const held = Promise.withResolvers<void>();
  const [first, second] = [added(secure, 'first'), added(secure, 'second')];
  added(secure, 'third');
  const holds: Behaviour = (request, _response, next) => {
    if (isBlob(request) && request.url?.includes('/first/')) held.promise.then(next);
    else next();
  };
  secure.behave(holds);
  const asked = (repository: string): number =>
    secure.requests.filter(({ path }) => path.includes(`/${repository}/`)).length;
  const one = pull('direct.example/first:1');
  await until('the first pull is under way', () => asked('first') > 1);
  const two = pull('direct.example/second:1');
  const given = new AbortController();
  const three = pull('direct.example/third:1', given.signal);
  setTimeout(() => given.abort(), 50);
  await t.throwsAsync(three);
  t.deepEqual([asked('second'), asked('third')], [0, 0]);
  held.resolve();
  t.deepEqual([(await one).image_ref, (await two).image_ref], [first.id, second.id]);
  t.is(asked('third'), 0);
});

test('a proxy is spoken to by TLS where its URL says so, and one that is dead is named', async (t) => {
  await daemon.stop();
  const own = { SSL_CERT_FILE: join(directory, 'ca.pem') };
  await daemon.boot({ ...own, https_proxy: `https://${secureProxy.address}`, http_proxy: 'http://proxy.invalid:1' });
  const made = added(secure, 'tls');
  t.is((await pull('registry.example/tls:1')).image_ref, made.id);
  t.deepEqual([...new Set(secureProxy.seen)], ['CONNECT registry.example:443 undefined']);
  await fails(t, pull('other.example/tls:1'), 'failed-precondition', /other\.example: its certificate is refused/);
  const message = /^RegistryUnavailable: .*proxy proxy\.invalid:1 for plain\.example cannot be reached: .*ENOTFOUND/;
  await fails(t, pull('plain.example/plain:2'), 'unknown', message);
});
