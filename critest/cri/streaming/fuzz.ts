import { connect } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { runCommand } from '../../../cri/stream/command/run.ts';
import { SpdyCommandClient } from '../../../cri/stream/command/spdy.ts';
import { WebSocketCommandClient } from '../../../cri/stream/command/websocket.ts';
import { SpdyForward } from '../../../cri/stream/forward/spdy.ts';
import type { SessionLimits } from '../../../cri/stream/session.ts';
import { controlFrame, dataHead, Flag, FrameType } from '../../../cri/stream/spdy/frames.ts';
import { acceptWebSocket } from '../../../cri/stream/websocket/accept.ts';
import { OwnProcess } from './process.ts';
import { SpdyClient } from './spdy-client.ts';

const log = pino({ level: 'silent' });
const limits: SessionLimits = { idleMs: 0, creationMs: 60_000 };
const wanted = { stdin: true, stdout: true, stderr: true, tty: false };

/** Numbers below `limit`, the same for the same seed. */
export type Random = (limit: number) => number;

const pair = (): { readonly server: Duplex; readonly client: Duplex } => {
  const [server, client] = duplexPair();
  if (server === undefined || client === undefined) throw new Error('no pair');
  client.on('error', () => undefined);
  return { server, client };
};

/** The bytes of a whole session of a client as Go's, cut into its frames. */
const spdySession = async (types: readonly Readonly<Record<string, string>>[]): Promise<Buffer[]> => {
  const { server, client } = pair();
  const frames: Buffer[] = [];
  server.on('data', (bytes: Buffer) => frames.push(bytes));
  const spdy = new SpdyClient(client, 'v4.channel.k8s.io');
  for (const [index, headers] of types.entries()) await spdy.open(index * 2 + 1, headers);
  spdy.send(Buffer.concat([dataHead(3, 5, 0), Buffer.from('hello')]));
  spdy.send(Buffer.concat([dataHead(9, 24, 0), Buffer.from('{"Width":80,"Height":24}')]));
  spdy.send(controlFrame(FrameType.PING, [1]));
  spdy.send(controlFrame(FrameType.SETTINGS, [1, 0x04000000, 100]));
  spdy.send(dataHead(3, 0, Flag.FIN));
  spdy.send(controlFrame(FrameType.RST_STREAM, [5, 5]));
  spdy.send(controlFrame(FrameType.GOAWAY, [0, 0]));
  await turn();
  client.destroy();
  await spdy.closed;
  return frames;
};

/** A mutation: bytes flipped, cut out, doubled, put in, frames left out, exchanged. */
export const mutate = (frames: readonly Buffer[], random: Random): Buffer => {
  const order = [...frames];
  if (random(4) === 0) order.splice(random(order.length), 1);
  if (random(4) === 0) order.splice(random(order.length), 0, order[random(order.length)] ?? Buffer.alloc(0));
  let bytes: Buffer = Buffer.concat(order);
  for (let changes = random(4); changes >= 0; changes -= 1) bytes = change(bytes, random);
  return bytes;
};

const change = (bytes: Buffer, random: Random): Buffer => {
  const at = random(bytes.length + 1);
  const length = random(12);
  switch (random(5)) {
    case 0:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 1:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 2:
      return Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(Array.from({ length }, () => random(256))),
        bytes.subarray(at),
      ]);
    case 3:
      return bytes.subarray(0, at);
    default: {
      const changed = Buffer.from(bytes);
      if (at < changed.length) changed[at] = (changed[at] ?? 0) ^ (1 << random(8));
      return changed;
    }
  }
};

/** Writes the bytes in a few pieces, lets the server work, and goes. Throws when anything of the session stays. */
const play = async (
  bytes: Buffer,
  random: Random,
  server: Duplex,
  client: Duplex,
  isOver: () => boolean,
): Promise<void> => {
  client.resume();
  const cut = random(bytes.length + 1);
  client.write(bytes.subarray(0, cut));
  await turn();
  client.write(bytes.subarray(cut));
  await turn();
  client.destroy();
  server.destroy();
  for (let turns = 0; turns < 20 && !isOver(); turns += 1) await turn();
  if (!isOver()) throw new Error(`the session goes on after its client: ${bytes.toString('hex')}`);
};

const playCommand = async (bytes: Buffer, random: Random): Promise<void> => {
  const { server, client } = pair();
  const process = new OwnProcess(wanted);
  let started = false;
  let over = false;
  const open = async (): Promise<OwnProcess> => {
    started = true;
    return process;
  };
  void SpdyCommandClient.open(server, 'v4.channel.k8s.io', wanted, limits)
    .then((command) => runCommand({ kind: 'exec', wanted, open }, command, log))
    .catch(() => undefined)
    .finally(() => {
      over = true;
    });
  await play(bytes, random, server, client, () => over && (!started || process.closed));
};

const playForward = async (bytes: Buffer, random: Random): Promise<void> => {
  const { server, client } = pair();
  const inside: Duplex[] = [];
  const connect = async (): Promise<Duplex> => {
    const [one, other] = duplexPair();
    if (one === undefined || other === undefined) throw new Error('no pair');
    other.on('error', () => undefined).resume();
    inside.push(one);
    return one;
  };
  const forward = new SpdyForward(server, { kind: 'portforward', ports: [], connect }, limits, log);
  await play(bytes, random, server, client, () => forward.lost.aborted && inside.every(({ destroyed }) => destroyed));
};

const playWebSocket = async (bytes: Buffer, random: Random): Promise<void> => {
  const { server, client } = pair();
  const process = new OwnProcess(wanted);
  let over = false;
  const protocol = random(2) === 0 ? 'v5.channel.k8s.io' : 'v4.base64.channel.k8s.io';
  const headers = {
    upgrade: 'websocket',
    'sec-websocket-key': Buffer.alloc(16).toString('base64'),
    'sec-websocket-version': '13',
  };
  const request = { method: 'GET', headers, url: '/' } as unknown as Parameters<typeof acceptWebSocket>[0];
  acceptWebSocket(request, server, Buffer.alloc(0), protocol, (webSocket) => {
    const command = new WebSocketCommandClient(webSocket, protocol, wanted, 0);
    void runCommand({ kind: 'exec', wanted, open: async () => process }, command, log).finally(() => {
      over = true;
    });
  });
  await play(bytes, random, server, client, () => over && process.closed);
};

/** A client's frame, masked. */
const webSocketFrame = (first: number, payload: Buffer): Buffer =>
  Buffer.concat([
    Buffer.of(first, 0x80 | payload.length, 1, 2, 3, 4),
    payload.map((byte, index) => byte ^ ((index % 4) + 1)),
  ]);

const webSocketSession = [
  webSocketFrame(0x82, Buffer.from('\u0000hello')),
  webSocketFrame(0x81, Buffer.from('0aGVsbG8=')),
  webSocketFrame(0x82, Buffer.from('\u0004{"Width":80,"Height":24}')),
  webSocketFrame(0x02, Buffer.from('\u0000in two')),
  webSocketFrame(0x80, Buffer.from(' parts')),
  webSocketFrame(0x89, Buffer.from('ping')),
  webSocketFrame(0x82, Buffer.of(255, 0)),
  webSocketFrame(0x88, Buffer.of(3, 232)),
];

/** So many mutated sessions of each kind. Rejects at the first that throws, hangs or leaves something. */
export const fuzzSessions = async (count: number, random: Random): Promise<void> => {
  const commandFrames = await spdySession(
    ['error', 'stdin', 'stdout', 'stderr', 'resize'].map((streamType) => ({ streamType })),
  );
  const ports = { port: '80', requestID: '0' };
  const forwardFrames = await spdySession([
    { ...ports, streamType: 'error' },
    { ...ports, streamType: 'data' },
    { ...ports, requestID: '1', streamType: 'data' },
  ]);
  for (let input = 0; input < count; input += 1) {
    await playCommand(mutate(commandFrames, random), random);
    await playForward(mutate(forwardFrames, random), random);
    await playWebSocket(mutate(webSocketSession, random), random);
  }
};

/** So many mutated requests on connections of their own; none may be upgraded. */
export const fuzzRequests = async (base: string, count: number, random: Random): Promise<void> => {
  const url = new URL(base);
  const lines = [
    'GET /exec/AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\n',
    'Host: a\r\n',
    'Connection: Upgrade\r\n',
    'Upgrade: SPDY/3.1\r\n',
    'X-Stream-Protocol-Version: v4.channel.k8s.io\r\n',
    '\r\n',
  ];
  for (let input = 0; input < count; input += 1) {
    const answer = await ask(
      url,
      mutate(
        lines.map((line) => Buffer.from(line)),
        random,
      ),
    );
    if (/^HTTP\/1\.1 101/.test(answer)) throw new Error(`upgraded: ${answer}`);
  }
};

/** What the server says to the bytes until it closes, or nothing for a while. */
const ask = (url: URL, bytes: Buffer): Promise<string> =>
  new Promise((resolve) => {
    let answer = '';
    const socket = connect(Number(url.port), url.hostname, () => socket.end(bytes));
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('error', () => undefined).on('close', () => resolve(answer));
    socket.setTimeout(20, () => socket.destroy());
  });
