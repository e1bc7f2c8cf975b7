import { once } from 'node:events';
import { connect, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { listen } from '../../api/listen.ts';
import type { BerthError } from '../../base/errors.ts';
import { Forwarder } from '../../shim/forward.ts';
import { makeNamespaces, removeNamespaces } from '../../shim/sandbox.ts';
import { until } from '../harness/until.ts';
import { Isolated } from './isolated.ts';

const { signal } = new AbortController();

/** An echo server inside a namespace of the agent's: socat-like, of Node itself. */
const echo = (host: string): string =>
  `require('net').createServer({ allowHalfOpen: true }, (c) => c.pipe(c)).listen(7000, '${host}')`;

const ask = async (connection: Duplex, text: string): Promise<string> => {
  connection.end(text);
  return (await buffer(connection)).toString();
};

interface Place extends AsyncDisposable {
  readonly isolated: Isolated;
  readonly forwarder: Forwarder;
  readonly netns: string;
}

/** A network namespace with an echo server at each host's port 7000. */
const place = async (...hosts: readonly string[]): Promise<Place> => {
  const isolated = await Isolated.start({ pidNamespace: true });
  const netns = isolated.path('net');
  const forwarder = new Forwarder(isolated.agent, isolated.path('s/forward.sock'));
  const server: Server = await listen(isolated.path('s/forward.sock'), (socket) => forwarder.accept(socket), {
    allowHalfOpen: true,
  });
  await makeNamespaces(isolated.agent, { net: netns });
  for (const host of hosts) {
    await isolated.text(
      `nsenter --net=${netns} ${process.execPath} -e "${echo(host)}" </dev/null >/dev/null 2>&1 & sleep 0`,
    );
    await until('the server listens', async () =>
      (await isolated.text(`nsenter --net=${netns} ss -Hltn`)).includes(host === '::1' ? '[::1]:7000' : `${host}:7000`),
    );
  }
  return {
    isolated,
    forwarder,
    netns,
    [Symbol.asyncDispose]: async () => {
      await removeNamespaces(isolated.agent, { net: netns });
      server.close();
      await isolated[Symbol.asyncDispose]();
    },
  };
};

const helpers = async ({ isolated }: Place): Promise<number> =>
  (await isolated.text('ps -e -o comm=')).split('\n').filter((name) => name === 'berth-forward').length;

test('a port of the pod’s IPv4 loopback answers, with its half-close kept, and no helper stays', async (t) => {
  await using at = await place('127.0.0.1');
  const connections = await Promise.all([1, 2, 3].map(() => at.forwarder.connect(at.netns, 7000, signal)));
  const bytes = ['one', 'two '.repeat(1_000_000), 'three'];
  t.deepEqual(await Promise.all(connections.map((connection, at) => ask(connection, bytes[at] ?? ''))), bytes);
  await until('no helper is left', async () => (await helpers(at)) === 0);
});

test('a server that listens on the IPv6 loopback alone is reached', async (t) => {
  await using at = await place('::1');
  t.is(await ask(await at.forwarder.connect(at.netns, 7000, signal), 'six'), 'six');
});

test('what a server said before it closed arrives whole, also when the client still sends', async (t) => {
  await using at = await place();
  const { isolated, netns } = at;
  const size = 1 << 20; // more than the buffers to the daemon hold: the rest stays in the helper's connection
  const script = `require('net').createServer((c) => c.end(Buffer.alloc(${size}), () => c.destroy())).listen(7000, '127.0.0.1')`;
  const inside = `nsenter --net=${netns}`;
  await isolated.text(`${inside} sysctl -qw net.ipv4.tcp_rmem='4096 4194304 6291456'`);
  await isolated.text(`${inside} ${process.execPath} -e "${script}" </dev/null >/dev/null 2>&1 & sleep 0`);
  const sockets = (state: string) => isolated.text(`${inside} ss -Htn ${state} sport = :7000`);
  await until('the server listens', async () => (await sockets('state listening')) !== '');
  const connection = await at.forwarder.connect(netns, 7000, signal);
  await until('all is sent and acknowledged', async () => (await sockets('state fin-wait-2')) !== '');
  connection.write('heard by nobody');
  await until('the connection is reset', async () => (await sockets('state fin-wait-2')) === '');
  connection.write(Buffer.alloc(1 << 20));
  await sleep(100);
  t.is((await buffer(connection)).length, size);
  connection.end();
  await until('no helper is left', async () => (await helpers(at)) === 0);
});

test('a port that nobody listens on is refused by name', async (t) => {
  await using at = await place();
  const error = await t.throwsAsync<BerthError>(at.forwarder.connect(at.netns, 7001, signal));
  t.deepEqual([error.code, error.message], ['unavailable', 'connect to port 7001: ECONNREFUSED']);
  await until('its helper has gone', async () => (await helpers(at)) === 0);
});

test('a client that is gone, or an abort, ends the helper', async (t) => {
  await using at = await place('127.0.0.1');
  const abort = new AbortController();
  const [gone, aborted] = [
    await at.forwarder.connect(at.netns, 7000, signal),
    await at.forwarder.connect(at.netns, 7000, abort.signal),
  ];
  t.is(await helpers(at), 2);
  gone.destroy();
  await until('one is left', async () => (await helpers(at)) === 1);
  abort.abort();
  await until('none is left', async () => (await helpers(at)) === 0);
  t.true(aborted.destroyed || (await once(aborted, 'close').then(() => true)));
});

test('a namespace that is gone is an error that names it', async (t) => {
  await using at = await place();
  const error = await t.throwsAsync(at.forwarder.connect('/nowhere', 80, signal));
  t.is(error.message, 'join network namespace /nowhere: ENOENT');
});

test('who connects without a token of ours is closed', async (t) => {
  await using at = await place();
  const stranger = connect(at.isolated.path('s/forward.sock'));
  stranger.write('0'.repeat(32));
  await once(stranger, 'close');
  t.true(stranger.destroyed);
});
