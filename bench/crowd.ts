import { RawClient } from './raw.ts';

/** A process of its own, whose work does not make its starter wait: so many subscribers until its input ends. */
const [, , address = '', count = '0', connections = '1'] = process.argv;

const clients = Array.from({ length: Number(connections) }, () => new RawClient(address));
const share = Array.from({ length: Number(count) / clients.length });
const all = clients.flatMap((client) => share.map(() => client.listen('GetContainerEvents', () => undefined)));
// Calls of one connection are taken in order: all listen when these are answered.
await Promise.all(clients.map((client) => client.call('Version', {})));
console.log('ready');
process.stdin.resume().once('end', () => {
  for (const { close } of all) close();
  for (const client of clients) client[Symbol.dispose]();
});
