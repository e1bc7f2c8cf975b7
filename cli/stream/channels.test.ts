import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { WebSocketServer } from 'ws';
import { Channel, Channels } from './channels.ts';

/** A key and a certificate of its own, for another name than the server's address. */
const certificate = (): string => {
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-x509', '-days', '2'];
  const args = ['req', ...kind, '-subj', '/CN=node.example', '-keyout', '-', '-out', '-'];
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
};

test('a session goes over TLS with a certificate that only kubelet knows', async (t) => {
  const pem = certificate();
  const server = createServer({ key: pem, cert: pem });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    socket.send(Buffer.from([Channel.STDOUT, 0x78]));
    socket.close();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const channels = await Channels.open(`https://127.0.0.1:${port}/`, 'v5.channel.k8s.io', new AbortController().signal);
  const read: string[] = [];
  await channels.read((channel, bytes) => {
    read.push(`${channel} ${bytes}`);
    return undefined;
  });
  t.deepEqual(read, ['1 x']);
  server.close();
});
