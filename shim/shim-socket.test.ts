import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { dir } from 'tmp-promise';
import { encodeFields, encodeFrame, FrameParser } from './frames.ts';
import { Frame, protocolVersion } from './protocol.ts';
import { ShimSocket } from './shim-socket.ts';

/** A supervisor with room for few who are not taken yet, as those of other daemons have; what each client said, in order. */
const narrow = async (
  bundle: string,
): Promise<AsyncDisposable & { readonly said: number[][]; readonly server: Server }> => {
  const said: number[][] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const parser = new FrameParser();
    const types: number[] = [];
    said.push(types);
    sockets.push(socket);
    socket.on('data', (chunk) => types.push(...parser.push(chunk).map(({ type }) => type)));
    socket.on('error', () => undefined);
    socket.write(encodeFrame(Frame.HELLO, 0, encodeFields([protocolVersion])));
  });
  server.listen({ path: join(bundle, 'shim.sock'), backlog: 1 });
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { said, server, [Symbol.asyncDispose]: close };
};

test('who finds the queue of a supervisor full comes again, and what was said meanwhile arrives', async (t) => {
  const { path: bundle, cleanup } = await dir({ unsafeCleanup: true });
  t.teardown(cleanup);
  await using server = await narrow(bundle);
  const sockets = Array.from({ length: 16 }, () => ShimSocket.connect(bundle));
  const lost: string[] = [];
  const answered = sockets.map((socket) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.listen({ frame: () => undefined, lost: ({ message }) => resolve(void lost.push(message)) });
    socket.send(Frame.STATE, 1, Buffer.alloc(100_000));
    socket.send(Frame.REOPEN_LOG, 2);
    return promise;
  });
  const whole = (): boolean =>
    server.said.length === sockets.length && server.said.every((types) => types.length === 3);
  while (!whole() && lost.length === 0) await new Promise(setImmediate);
  t.deepEqual(lost, []);
  for (const types of server.said) t.deepEqual(types, [Frame.HELLO, Frame.STATE, Frame.REOPEN_LOG]);
  for (const socket of sockets) socket.close();
  await Promise.all(answered);
});

test('who is closed while the queue is full does not come again', async (t) => {
  const { path: bundle, cleanup } = await dir({ unsafeCleanup: true });
  t.teardown(cleanup);
  await using server = await narrow(bundle);
  const sockets = Array.from({ length: 16 }, () => ShimSocket.connect(bundle));
  await once(server.server, 'connection');
  await sleep(1); // the others have heard that it is full
  for (const socket of sockets) socket.close();
  await sleep(150);
  t.true(server.said.length < sockets.length);
});
