import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { codeOf } from '../../base/errors.ts';
import { Transport } from './transport.ts';

test('as many layers as the configuration allows at once come from one host at once', async (t) => {
  const count = 64;
  const held: ServerResponse[] = [];
  const server = createServer((_request, response) => {
    held.push(response);
    if (held.length === count) for (const each of held) each.end('x');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.teardown(() => server.close());
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  using transport = new Transport({ configPath: [], plainHttp: [host], stallSeconds: 5 }, {});
  const { signal } = new AbortController();
  const ask = () => transport.send(new URL(`http://${host}/`), { headers: {}, signal });
  const replies = await Promise.all(Array.from({ length: count }, ask));
  t.deepEqual([...new Set(replies.map(({ status }) => status))], [200]);
  for (const reply of replies) reply.destroy();
});

test('a caller that goes before its answer ends the request, also while it waits for one', async (t) => {
  const server = createServer(() => undefined);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.teardown(() => server.closeAllConnections());
  t.teardown(() => server.close());
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  using transport = new Transport({ configPath: [], plainHttp: [host], stallSeconds: 5 }, {});
  const caller = new AbortController();
  const asked = transport.send(new URL(`http://${host}/`), { headers: {}, signal: caller.signal });
  await new Promise<void>((done) => server.once('request', () => done()));
  caller.abort();
  t.is(codeOf(await asked.catch((error: unknown) => error)), 'cancelled');
  const late = transport.send(new URL(`http://${host}/`), { headers: {}, signal: caller.signal });
  t.is(codeOf(await late.catch((error: unknown) => error)), 'cancelled');
});
