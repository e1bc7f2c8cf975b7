import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import test from 'ava';
import { pino } from 'pino';
import { dir } from 'tmp-promise';
import { type StreamingOptions, StreamingServer } from '../../cri/stream/server.ts';
import { until } from '../harness/until.ts';
import { outcome, spdyCommand } from './streaming/command.ts';
import { OwnProcess } from './streaming/process.ts';
import type { Dial } from './streaming/spdy-client.ts';

const log = pino({ level: 'silent' });
const wanted = { stdin: false, stdout: true, stderr: false, tty: false };

/** A CA, and a certificate of it for 127.0.0.1 with this name. */
const issue = (name: string): string => `
  [ -e ca.pem ] || openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -x509 -days 2 -subj '/CN=a test CA' -keyout ca.key -out ca.pem
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=${name}' -keyout ${name}.key -out ${name}.csr
  echo subjectAltName=IP:127.0.0.1 >ext
  openssl x509 -req -days 2 -in ${name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -out ${name}.pem`;

const made = async (...names: readonly string[]) => {
  const { path } = await dir({ prefix: 'tls', unsafeCleanup: true });
  for (const name of names) await promisify(execFile)('sh', ['-ec', issue(name)], { cwd: path });
  return (name: string): string => join(path, name);
};

const start = (extra: Partial<StreamingOptions>): Promise<StreamingServer> =>
  StreamingServer.start({
    address: '127.0.0.1',
    port: 0,
    certificates: undefined,
    idleMs: 0,
    creationMs: 5000,
    log,
    ...extra,
  });

/** Runs an exec over TLS and gives the name in the server's certificate. */
const nameOf = async (
  server: StreamingServer,
  ca: Buffer,
  own: { cert?: Buffer; key?: Buffer } = {},
): Promise<string> => {
  let name = '';
  const dial: Dial = (url) => {
    const socket = connect({ host: url.hostname, port: Number(url.port), ca, ...own });
    socket.once('secureConnect', () => {
      name = `${socket.getPeerCertificate().subject.CN}`;
    });
    return socket;
  };
  const process = new OwnProcess(wanted);
  const url = server.urlOf({ kind: 'exec', wanted, open: async () => process });
  if (!url.startsWith('https://127.0.0.1:')) throw new Error(url);
  const command = await spdyCommand(url, wanted, { dial });
  process.stdout?.write('over TLS');
  process.exit(0);
  const { stdout } = await outcome(command);
  return `${name}: ${stdout}`;
};

test('with a certificate streams go over TLS, and a new one is taken without a restart', async (t) => {
  const at = await made('first', 'second');
  const [cert, key] = [at('live.pem'), at('live.key')];
  const install = async (name: string): Promise<void> => {
    await writeFile(key, await readFile(at(`${name}.key`)));
    await writeFile(cert, await readFile(at(`${name}.pem`)));
  };
  await install('first');
  await using server = await start({ certificates: { cert, key, clientCa: '' }, reloadMs: 20 });
  const ca = await readFile(at('ca.pem'));
  t.is(await nameOf(server, ca), 'first: over TLS');
  await writeFile(cert, 'no certificate');
  await new Promise((resolve) => setTimeout(resolve, 60));
  t.is(await nameOf(server, ca), 'first: over TLS', 'with a broken one the old one stays');
  await install('second');
  await until('the new certificate', async () => (await nameOf(server, ca)) === 'second: over TLS');
});

test('where a CA for clients is set, a client without its certificate gets nothing', async (t) => {
  const at = await made('server', 'client');
  const certificates = { cert: at('server.pem'), key: at('server.key'), clientCa: at('ca.pem') };
  await using server = await start({ certificates });
  const ca = await readFile(at('ca.pem'));
  await t.throwsAsync(nameOf(server, ca));
  const own = { cert: await readFile(at('client.pem')), key: await readFile(at('client.key')) };
  t.is(await nameOf(server, ca, own), 'server: over TLS');
});

test('a server that cannot listen, or whose certificates cannot be used, says where and why', async (t) => {
  await using server = await start({});
  const port = Number(new URL(server.base).port);
  await t.throwsAsync(start({ port }), { message: new RegExp(`listen on 127.0.0.1 port ${port}: .*EADDRINUSE`) });
  await t.throwsAsync(start({ address: '192.0.2.1' }), { message: /192\.0\.2\.1.*EADDRNOTAVAIL/ });
  const certificates = { cert: '/nonexistent/cert.pem', key: '/nonexistent/key.pem', clientCa: '' };
  await t.throwsAsync(start({ certificates }), { message: /\/nonexistent\/(cert|key)\.pem: there is no such file/ });
});
