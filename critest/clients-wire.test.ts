import { connect as connectHttp2 } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { idle, runPod } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';

// Bytes that no library of a client would send.
const daemon = suiteDaemon();
const mib = 1 << 20;

interface Raw {
  readonly rpc?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly chunks: readonly Buffer[];
}

/** One call: its gRPC status, and how many bytes the server took before it answered. */
const raw = ({ rpc = 'Version', headers = {}, chunks }: Raw): Promise<{ status: number; sent: number }> =>
  new Promise((resolve, reject) => {
    const createConnection = () => connectSocket(daemon().world.path('b.sock'));
    const session = connectHttp2('http://localhost', { createConnection });
    const path = `/runtime.v1.RuntimeService/${rpc}`;
    const fixed = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
    const stream = session.request({ ...fixed, ...headers });
    let status = -1;
    let sent = 0;
    const hear = (received: object): void => {
      if (!('grpc-status' in received)) return;
      status = Number(received['grpc-status']);
      stream.close();
    };
    for (const event of ['response', 'trailers']) stream.on(event, hear);
    stream.on('error', () => {}).resume();
    stream.setTimeout(20_000, () => stream.close());
    session.on('error', reject);
    stream.on('close', () => {
      session.destroy();
      resolve({ status, sent });
    });
    const write = (at: number): void => {
      const chunk = chunks[at];
      if (stream.destroyed || stream.closed) return;
      if (chunk === undefined) stream.end();
      else
        stream.write(chunk, () => {
          sent += chunk.length;
          write(at + 1);
        });
    };
    write(0);
  });

const head = (length: number, compressed = 0): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(compressed);
  bytes.writeUInt32BE(length, 1);
  return bytes;
};
const framed = (message: Uint8Array, compressed = 0): Buffer =>
  Buffer.concat([head(message.length, compressed), message]);

const peak = async (): Promise<number> =>
  Number(await daemon().world.sh(`awk '/VmHWM/ {print $2}' /proc/${daemon().pid}/status`));

const resourceExhausted = 8;

test('grpc-js 2024-37168: a message that announces 1 GiB is refused by its head, and not kept while it comes', async (t) => {
  const before = await peak();
  const chunk = Buffer.alloc(mib);
  const { status, sent } = await raw({ chunks: [head(1 << 30), ...Array.from({ length: 200 }, () => chunk)] });
  t.is(status, resourceExhausted);
  t.true(sent < 64 * mib, `${sent}`);
  t.true((await peak()) - before < 64 << 10);
});

test('grpc-js 2024-37168: a compressed message is refused when it grows past 16 MiB, and never held whole', async (t) => {
  await raw({ chunks: [framed(Buffer.alloc(0))] });
  const before = await peak();
  const bomb = gzipSync(Buffer.alloc(256 * mib), { level: 1 });
  const { status } = await raw({ headers: { 'grpc-encoding': 'gzip' }, chunks: [framed(bomb, 1)] });
  t.is(status, resourceExhausted);
  const grown = (await peak()) - before;
  t.true(grown < 96 << 10, `${grown} KiB`);
  t.is((await daemon().client.Version({})).runtime_name, 'berth');
});

for (const [what, part] of [
  ['groups that begin', Buffer.from([0x0b])],
  ['groups of a field that nobody knows', Buffer.from([0xfb, 0x7f])],
] as const)
  test(`protobufjs 2026-44289: ${what} a million deep are refused, and the daemon lives`, async (t) => {
    const pid = daemon().pid;
    const bytes = Buffer.alloc(part.length * 1_000_000, part);
    for (const rpc of ['RunPodSandbox', 'ListContainers'])
      t.is((await raw({ rpc, chunks: [framed(bytes)] })).status, 3, rpc);
    t.is((await daemon().client.Version({})).runtime_name, 'berth');
    t.is(daemon().pid, pid);
  });

test('protobufjs 2026-41242, 2026-44291: names of what every object has are labels like others, also after a restart', async (t) => {
  const words = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__', 'then'];
  const labels: Readonly<Record<string, string>> = Object.fromEntries(words.map((word) => [word, `the ${word}`]));
  const pod = await runPod(daemon(), { labels, annotations: labels });
  const container = await pod.run(idle, { labels, annotations: labels });
  const check = async (): Promise<void> => {
    const { status } = await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id });
    const { containers } = await daemon().client.ListContainers({ filter: { label_selector: labels } });
    for (const found of [status, await container.status(), containers[0]])
      for (const map of [found?.labels, found?.annotations])
        t.deepEqual(Object.entries(map ?? {}).sort(), Object.entries(labels).sort());
    const other = Object.fromEntries([['__proto__', 'another']]);
    t.deepEqual((await daemon().client.ListContainers({ filter: { label_selector: other } })).containers, []);
  };
  await check();
  await daemon().killAndBoot();
  await check();
  const plain = await runPod(daemon());
  const { status } = await daemon().client.PodSandboxStatus({ pod_sandbox_id: plain.id });
  t.deepEqual(Object.entries(status?.labels ?? { none: '' }), []);
});
