// Runs in a test's world: carries connections to a unix socket on to the address that their first line names.
import { connect, createServer, type Socket } from 'node:net';

const [path = ''] = process.argv.slice(2);

const carry = (client: Socket, host: string, port: number): void => {
  const server = connect({ host, port, allowHalfOpen: true });
  client.pipe(server);
  server.pipe(client);
  client.on('error', () => server.resetAndDestroy()).on('close', () => server.destroy());
  server.on('error', () => client.destroy()).on('close', () => client.destroySoon());
};

const accept = (client: Socket): void => {
  client.once('readable', () => {
    const bytes = (client.read() as Buffer | null) ?? Buffer.alloc(0);
    const end = bytes.indexOf('\n');
    const [host = '', port = ''] = bytes.subarray(0, end).toString().split(' ');
    if (end + 1 < bytes.length) client.unshift(bytes.subarray(end + 1));
    carry(client, host, Number(port));
  });
};

createServer({ allowHalfOpen: true }, accept).listen(path);
