import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { socketPath } from '../api/address.ts';

/**
 * A process of its own, whose work does not make its starter wait: so many subscribers until its input ends. What they are
 * sent is read and thrown away, so that little of the machine goes to them.
 */
const [, , address = '', count = '0', connections = '1'] = process.argv;

const nothing = Buffer.alloc(5);

const ask = (session: ClientHttp2Session, path: string): ClientHttp2Stream => {
  const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request(headers);
  stream.end(nothing);
  return stream.on('error', () => undefined).resume(); // it ends with its session
};

const sessions = Array.from({ length: Number(connections) }, () =>
  connectHttp2('http://localhost', { createConnection: () => connect(socketPath(address)) }),
);
for (const session of sessions) {
  const own = Array.from({ length: Number(count) / sessions.length });
  for (const _ of own) ask(session, '/runtime.v1.RuntimeService/GetContainerEvents');
}
// Calls of one connection are taken in order: all listen when these are answered.
await Promise.all(sessions.map((session) => once(ask(session, '/runtime.v1.RuntimeService/Version'), 'end')));
console.log('ready');
process.stdin.resume().once('end', () => {
  for (const session of sessions) session.destroy();
});
