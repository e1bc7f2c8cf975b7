import type { IncomingMessage } from 'node:http';
import { Refusal, type Upgrade } from '../refuse.ts';

/** The protocol that the client likes best of those that we know. Throws a Refusal, as Kubernetes' own server answers. */
export const chooseSpdyProtocol = <Name extends string>(request: IncomingMessage, known: readonly Name[]): Name => {
  const header = request.headers['x-stream-protocol-version'];
  if (header === undefined) throw new Refusal(400, 'unable to upgrade: no X-Stream-Protocol-Version in the request');
  const offered = [header]
    .flat()
    .join(',')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (offered.length === 0) throw new Refusal(400, 'unable to upgrade: X-Stream-Protocol-Version is empty');
  const chosen = offered
    .map((name) => known.find((candidate) => candidate === name))
    .find((name) => name !== undefined);
  if (chosen !== undefined) return chosen;
  throw new Refusal(
    403,
    `unable to upgrade: no protocol in common: the client has ${offered.join(', ').slice(0, 200)}, berthd has ${known.join(', ')}`,
    { 'X-Accepted-Stream-Protocol-Versions': known.join(', ') },
  );
};

/** From here on the connection speaks SPDY. Throws a Refusal when that is not what was asked for. */
export const switchToSpdy = ({ request, socket, head }: Upgrade, protocol: string): void => {
  if (request.headers.upgrade?.toLowerCase().includes('spdy/3.1') !== true)
    throw new Refusal(400, 'unable to upgrade: Upgrade is neither SPDY/3.1 nor websocket');
  const lines = ['Connection: Upgrade', 'Upgrade: SPDY/3.1', `X-Stream-Protocol-Version: ${protocol}`];
  socket.write(['HTTP/1.1 101 Switching Protocols', ...lines, '', ''].join('\r\n'));
  if (head.length > 0) socket.unshift(head);
};
