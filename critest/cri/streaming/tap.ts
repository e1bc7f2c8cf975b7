// Runs in a test's world as a user of its own: carries connections on to the streaming server (the first port), and tells
// every piece of them with its time, a line of JSON each.
import { connect, createServer, type Socket } from 'node:net';
import type { Event } from './sessions.ts';

const [target = '', port = '', user = ''] = process.argv.slice(2);

const tell = (started: number, from: Event['from'], data?: Buffer): void => {
  const event: Event = {
    ms: Math.round(performance.now() - started),
    from,
    ...(data === undefined ? {} : { data: data.toString('base64') }),
  };
  process.stdout.write(`${JSON.stringify(event)}\n`);
};

const carry = (client: Socket): void => {
  const started = performance.now();
  const server = connect({ host: '127.0.0.1', port: Number(target), allowHalfOpen: true });
  for (const [name, from, to] of [
    ['client', client, server],
    ['server', server, client],
  ] as const) {
    from.on('data', (data: Buffer) => tell(started, name, data));
    from.on('end', () => tell(started, name));
    from.on('error', () => to.destroy());
    from.pipe(to);
  }
};

createServer({ allowHalfOpen: true }, carry).listen(Number(port), '127.0.0.1', () => {
  process.setuid?.(Number(user));
  process.stdout.write('ready\n');
});
