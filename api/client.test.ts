import { once } from 'node:events';
import { constants, createServer, type ServerHttp2Stream } from 'node:http2';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { connect } from './client.ts';

/** A server that refuses so many streams, as one that ends does, and answers the others with an empty message. */
const withServer = (refused: number, body: (address: string, asked: () => number) => Promise<void>): Promise<void> =>
  withDir(
    async ({ path }) => {
      const socket = join(path, 's.sock');
      let asked = 0;
      await using server = createServer();
      server.on('stream', (stream: ServerHttp2Stream) => {
        asked += 1;
        stream.on('error', () => undefined);
        if (asked <= refused) stream.close(constants.NGHTTP2_REFUSED_STREAM);
        else answer(stream);
      });
      server.listen(socket);
      await once(server, 'listening');
      await body(`unix://${socket}`, () => asked);
    },
    { unsafeCleanup: true },
  );

const answer = (stream: ServerHttp2Stream): void => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(Buffer.alloc(5));
};

test('a call that a server has not looked at is made again', (t) =>
  withServer(7, async (address, asked) => {
    using client = connect(address);
    t.deepEqual((await client.ListContainers({})).containers, []);
    t.is(asked(), 8);
  }));

test('a server that refuses for ever is told', (t) =>
  withServer(Number.POSITIVE_INFINITY, async (address, asked) => {
    using client = connect(address);
    await t.throwsAsync(client.ListContainers({}), { code: 'unavailable', message: 'Stream refused by server' });
    t.is(asked(), 22, 'eleven times, each twice by grpc-js');
  }));
