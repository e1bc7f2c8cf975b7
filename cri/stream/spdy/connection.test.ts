import { type Duplex, duplexPair } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import type { BerthError } from '../../../base/errors.ts';
import { SpdyConnection } from './connection.ts';
import { type ControlFrame, controlFrame, dataHead, Flag, FrameParser, FrameType, ResetStatus } from './frames.ts';
import { HeaderWriter } from './headers.ts';
import type { SpdyStream } from './stream.ts';

/** The server's side over a pair of streams, and what the client's side of it sees. */
const open = (onStream: (stream: SpdyStream) => void = () => undefined) => {
  const [server, client]: Duplex[] = duplexPair({ highWaterMark: 1 << 16 });
  if (server === undefined || client === undefined) throw new Error('no pair');
  const seen: ControlFrame[] = [];
  const data = new Map<number, string>();
  const streams: SpdyStream[] = [];
  const over: (BerthError | undefined)[] = [];
  const connection = new SpdyConnection(server, {
    stream: (stream) => {
      onStream(stream);
      streams.push(stream);
    },
    active: () => undefined,
    closed: (cause) => over.push(cause),
  });
  const parser = new FrameParser({
    control: (frame) => seen.push(frame),
    data: (id, bytes, fin) => data.set(id, `${data.get(id) ?? ''}${bytes}${fin ? '|' : ''}`),
  });
  client.on('data', (bytes: Buffer) => parser.push(bytes)).on('error', () => undefined);
  const writer = new HeaderWriter();
  const send = async (...frames: readonly Buffer[]): Promise<void> => {
    for (const frame of frames) client.write(frame);
    for (let turns = 0; turns < 5; turns += 1) await turn();
  };
  const syn = (id: number, flags = 0): Buffer =>
    controlFrame(
      FrameType.SYN_STREAM,
      [id, 0],
      Buffer.concat([Buffer.alloc(2), writer.write(new Map([['streamtype', 'data']]))]),
      flags,
    );
  const types = (): number[] => seen.map(({ type }) => type);
  const words = (type: number): number[][] =>
    seen
      .filter((frame) => frame.type === type)
      .map(({ payload }) => [payload.readUInt32BE(), ...(payload.length >= 8 ? [payload.readUInt32BE(4)] : [])]);
  return { connection, server, client, streams, over, data, send, syn, types, words };
};

test('a stream is answered, read and closed in each direction by itself', async (t) => {
  const { streams, send, syn, types, data } = open((stream) => stream.resume());
  await send(syn(1), dataHead(1, 0, Flag.FIN));
  t.deepEqual(types(), [FrameType.SYN_REPLY]);
  t.true(streams[0]?.readableEnded);
  streams[0]?.write('after the end of the other direction');
  streams[0]?.end();
  await send();
  t.is(data.get(1), 'after the end of the other direction|');
  t.true(streams[0]?.destroyed);
  t.deepEqual(types(), [FrameType.SYN_REPLY]);
});

test('a stream that is destroyed is reset for the client; one that the client resets is not answered', async (t) => {
  const { streams, send, syn, words } = open();
  await send(syn(1), syn(3));
  streams[0]?.destroy();
  await send(controlFrame(FrameType.RST_STREAM, [3, ResetStatus.CANCEL]));
  t.deepEqual(words(FrameType.RST_STREAM), [[1, ResetStatus.CANCEL]]);
  t.true(streams[1]?.destroyed);
});

test('numbers that do not rise or are even are refused, and the connection goes on', async (t) => {
  const { streams, send, syn, words } = open();
  await send(syn(5), syn(5), syn(3), syn(8), syn(9));
  t.deepEqual(
    words(FrameType.RST_STREAM).map(([id]) => id),
    [5, 3, 8],
  );
  t.deepEqual(
    streams.map(({ id }) => id),
    [5, 9],
  );
});

test('a stream that its user does not want is refused', async (t) => {
  const { send, syn, words, types } = open(() => {
    throw new Error('no');
  });
  await send(syn(1), syn(3, Flag.UNIDIRECTIONAL));
  t.deepEqual(words(FrameType.RST_STREAM), [
    [1, ResetStatus.REFUSED_STREAM],
    [3, ResetStatus.REFUSED_STREAM],
  ]);
  t.false(types().includes(FrameType.SYN_REPLY));
});

test("a client's PING is answered, an answer to ours is not", async (t) => {
  const { send, words } = open();
  await send(
    controlFrame(FrameType.PING, [1]),
    controlFrame(FrameType.PING, [2]),
    controlFrame(FrameType.PING, [4_294_967_295]),
  );
  t.deepEqual(words(FrameType.PING), [[1], [4_294_967_295]]);
});

test('SETTINGS, WINDOW_UPDATE, HEADERS, data of no stream and unknown frames are tolerated', async (t) => {
  const { send, syn, over, streams } = open();
  const writer = new HeaderWriter();
  await send(controlFrame(FrameType.HEADERS, [1], writer.write(new Map([['a', 'b']]))));
  t.deepEqual(over, []);
  const other = open();
  await other.send(
    controlFrame(FrameType.SETTINGS, [1, 4, 100]),
    controlFrame(FrameType.WINDOW_UPDATE, [0, 65_536]),
    controlFrame(99, [1]),
    dataHead(77, 1, 0),
    Buffer.of(1),
    other.syn(1),
  );
  t.deepEqual([other.over, other.streams.length], [[], 1]);
  t.is(streams.length, 0);
  await send(syn(1)); // its block begins a stream anew
  t.is(over.length, 1);
});

test('another version is refused by name, and the connection closed', async (t) => {
  const { send, syn, words, over } = open();
  const frame = syn(1);
  frame.writeUInt16BE(0x8002, 0);
  await send(frame);
  t.deepEqual(words(FrameType.RST_STREAM), [[1, ResetStatus.UNSUPPORTED_VERSION]]);
  t.deepEqual(words(FrameType.GOAWAY), [[0, 1]]);
  t.regex(over[0]?.message ?? '', /version 2/);
});

test('a client that goes away after its last stream is let go, its streams first', async (t) => {
  const { send, syn, streams, over, words } = open((stream) => stream.resume());
  await send(syn(1), controlFrame(FrameType.GOAWAY, [0, 0]), syn(3));
  t.deepEqual(over, []);
  t.deepEqual(
    words(FrameType.RST_STREAM).map(([id]) => id),
    [3],
  );
  streams[0]?.end();
  await send(dataHead(1, 0, Flag.FIN));
  t.deepEqual(over, [undefined]);
});

test('who keeps a window is told that it may send more, when its bytes are read', async (t) => {
  const { send, syn, words, streams } = open();
  await send(syn(1));
  await send(dataHead(1, 65_536, 0), Buffer.alloc(65_536));
  t.deepEqual(
    words(FrameType.WINDOW_UPDATE).filter(([id]) => id === 1),
    [],
  );
  streams[0]?.resume();
  await send();
  t.is(
    words(FrameType.WINDOW_UPDATE)
      .filter(([id]) => id === 1)
      .reduce((sum, [, bytes = 0]) => sum + bytes, 0),
    65_536,
  );
});

test('a stream that nobody reads stops the connection, until it is read or destroyed', async (t) => {
  for (const go of ['resume', 'destroy'] as const) {
    const { send, syn, server, streams } = open();
    await send(syn(1), dataHead(1, 200_000, 0), Buffer.alloc(200_000), syn(3));
    t.true(server.isPaused());
    streams[0]?.[go]();
    await send();
    t.deepEqual([server.isPaused(), streams.length], [false, 2]);
    server.destroy();
  }
});

test('a client that sends and does not read is given up before its answers fill the memory', async (t) => {
  const { client, send, over } = open();
  client.pause();
  const pings = Buffer.concat(Array.from({ length: 5000 }, () => controlFrame(FrameType.PING, [1])));
  for (let rounds = 0; rounds < 100 && over.length === 0; rounds += 1) await send(pings);
  t.regex(over[0]?.message ?? '', /does not read/);
});

test('what waits to be written goes out before a close', async (t) => {
  const { connection, client, send, syn, streams, data, words } = open((stream) => stream.resume());
  await send(syn(1));
  client.pause();
  streams[0]?.write(Buffer.alloc(60_000, 'a'));
  streams[0]?.write(Buffer.alloc(60_000, 'b'));
  connection.close();
  client.resume();
  await send();
  await send();
  t.true((data.get(1)?.length ?? 0) >= 60_000);
  t.deepEqual(words(FrameType.GOAWAY), [[1, 0]]);
});
