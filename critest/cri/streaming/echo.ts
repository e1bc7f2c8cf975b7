// Runs in a pod's network namespace until its stdin ends: `ADDRESS PORT` pairs are listened on; what comes is sent back at
// the client's end, with the address behind it.
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';

const listen = async (host: string, port: number): Promise<void> => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    void text(socket).then((received) => socket.end(`${received}from ${host}`));
  });
  await new Promise<void>((resolve) => server.listen({ host, port, ipv6Only: true }, resolve));
};

const [first = '', firstPort = '', second = '', secondPort = ''] = process.argv.slice(2);
await Promise.all([listen(first, Number(firstPort)), listen(second, Number(secondPort))]);
process.stdout.write('listening\n');
await text(process.stdin);
process.exit();
