import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';

const options = {
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  // of one message: Go's clients write 32 KiB; others all that they have, and Go's servers take so much
  maxPayload: 32 << 20,
  // what the client may take to answer a close
  closeTimeout: 5000,
};
const server = new WebSocketServer(options);

const chosen = new WeakMap<IncomingMessage, string>();
server.on('headers', (headers, request) => {
  const protocol = chosen.get(request) ?? '';
  if (protocol !== '') headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
});

/** The protocols that the client offers, the one it likes best first; none stands for "". */
export const offeredProtocols = ({ headers }: IncomingMessage): readonly string[] => {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return offered.some((name) => name !== '') ? offered.filter((name) => name !== '') : [''];
};

/** Upgrades the connection to the chosen protocol, or answers why not and closes it. */
export const acceptWebSocket = (
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
  use: (webSocket: WebSocket) => void,
): void => {
  // ws would refuse the slash in `SPDY/3.1+…`: it does not get to see protocols
  delete request.headers['sec-websocket-protocol'];
  chosen.set(request, protocol);
  server.handleUpgrade(request, socket, head, (webSocket) => {
    webSocket.on('error', () => undefined); // 'close' follows each
    use(webSocket);
  });
};
