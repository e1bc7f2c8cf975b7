import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Client } from '../../api/client.ts';
import { BerthError, messageOf } from '../../base/errors.ts';
import { parse } from '../arguments.ts';
import { type Context, UsageError, type Verb } from '../context.ts';
import { findTarget, listObjects } from '../find.ts';
import { Channels } from '../stream/channels.ts';
import { dialOf } from '../stream/local.ts';

interface Ports {
  readonly local: number;
  readonly remote: number;
}

export const portForward: Verb = {
  name: 'port-forward',
  usage: '[--bind ADDRESS] POD [LOCAL:]REMOTE…',
  summary: 'listen here, and carry each connection to a port of the pod’s loopback',
  options: [['--bind ADDRESS', 'listen on this address (default: 127.0.0.1)']],
  run: async (argv, context) => {
    const { values, positionals } = parse(argv, { bind: { type: 'string', default: '127.0.0.1' } });
    const [word, ...pairs] = positionals;
    if (word === undefined || pairs.length === 0) throw new UsageError('wants a pod and a port');
    const ports = pairs.map(portsOf);
    const pod = podOf(await listObjects(context.client), word);
    const servers = await listenAll(context, pod, ports, values.bind);
    if (!context.signal.aborted) await once(context.signal, 'abort');
    for (const server of servers) server.close();
    return 0;
  },
};

const portsOf = (text: string): Ports => {
  const [, local, remote = ''] = /^(?:(\d{0,5}):)?(\d{1,5})$/.exec(text) ?? [];
  const ports = { local: Number(local === '' ? 0 : (local ?? remote)), remote: Number(remote) };
  if (remote === '' || ports.remote < 1 || ports.remote > 65_535 || ports.local > 65_535)
    throw new UsageError(`${JSON.stringify(text)}: wants REMOTE, LOCAL:REMOTE, or :REMOTE for any free port here`);
  return ports;
};

const podOf = (objects: Awaited<ReturnType<typeof listObjects>>, word: string): string => {
  const target = findTarget(objects, word);
  return target.kind === 'pod' ? target.pod.id : target.container.pod_sandbox_id;
};

const listenAll = (context: Context, pod: string, ports: readonly Ports[], bind: string): Promise<Server[]> =>
  Promise.all(
    ports.map(async ({ local, remote }) => {
      const server = createServer({ allowHalfOpen: true }, (connection) => {
        carry(context.client, pod, remote, connection, context.signal).catch((error: unknown) => {
          context.out.error(`port ${remote}: ${messageOf(error)}\n`);
          connection.destroy();
        });
      });
      server.listen(local, bind);
      await once(server, 'listening').catch((error: unknown) => {
        throw new BerthError('failed-precondition', `listen on ${bind}:${local}: ${messageOf(error)}`);
      });
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : local;
      context.out.write(`${bind}:${port} -> ${remote}\n`);
      return server;
    }),
  );

/** The protocol has no word for the end of our direction: what the client half-closes stays open until the pod ends it. */
const carry = async (
  client: Client,
  pod: string,
  port: number,
  connection: Socket,
  signal: AbortSignal,
): Promise<void> => {
  connection.on('error', () => connection.destroy());
  const { url } = await client.PortForward({ pod_sandbox_id: pod, port: [port] }, { signal });
  const dial = await dialOf(client, url, { signal });
  const channels = await Channels.open(url, 'v4.channel.k8s.io', signal, dial);
  // Reset before there was a session to carry it.
  if (connection.destroyed) return channels.destroy();
  connection.once('close', () => channels.close());
  const sending = send(channels, connection);
  const refused = await receive(channels, connection);
  await sending;
  if (refused !== '') throw new BerthError('unavailable', refused);
};

const send = async (channels: Channels, connection: Socket): Promise<void> => {
  try {
    for await (const chunk of connection.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
      await channels.write(0, chunk);
  } catch {
    // The client is gone; its 'close' ends the rest.
  }
};

/** What the pod sends; answers what went wrong there, or "". Each channel's first two bytes are its port. */
const receive = async (channels: Channels, connection: Socket): Promise<string> => {
  let refused = '';
  const greeted = [false, false];
  await channels.read((channel, bytes) => {
    const text = greeted[channel] === true ? bytes : bytes.subarray(2);
    greeted[channel] = true;
    if (channel === 1) refused += text.toString('utf8');
    return channel === 0 && text.length > 0 && !connection.write(text) ? connection : undefined;
  });
  connection.end();
  return refused;
};
