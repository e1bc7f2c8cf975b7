// Runs where a port is forwarded to: the first port answers `N\n` with N bytes, the second reads `N\n` and N bytes and says so: not
// every endpoint hands on the end of a direction.
import { createServer, type Socket } from 'node:net';

const piece = Buffer.alloc(64 << 10, 'x');

const pour = (socket: Socket, bytes: number): void => {
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      const part = piece.subarray(0, Math.min(left, piece.length));
      left -= part.length;
      if (!socket.write(part)) return;
    }
    socket.end();
  };
  socket.on('drain', more);
  more();
};

const swallow = (socket: Socket): void => {
  let left = Number.NaN;
  socket.on('data', (bytes) => {
    const head = Number.isNaN(left) ? bytes.indexOf('\n') + 1 : 0;
    left = (head > 0 ? Number.parseInt(bytes.toString('latin1', 0, head), 10) : left) - (bytes.length - head);
    if (left === 0) socket.end('read\n');
  });
};

const talks: readonly ((socket: Socket) => void)[] = [
  (socket) => socket.once('data', (bytes) => pour(socket, Number.parseInt(bytes.toString(), 10))),
  (socket) => swallow(socket),
];
const ports = await Promise.all(
  talks.map(async (talk) => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      talk(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    return typeof address === 'object' ? address?.port : 0;
  }),
);
process.stdout.write(`${JSON.stringify(ports)}\n`);
process.stdin.resume().once('end', () => process.exit());
