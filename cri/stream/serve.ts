import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import { messageOf } from '../../base/errors.ts';
import type { Log } from '../log.ts';
import { runCommand } from './command/run.ts';
import { SpdyCommandClient, spdyCommandProtocols } from './command/spdy.ts';
import { WebSocketCommandClient, webSocketCommandProtocols } from './command/websocket.ts';
import { SpdyForward, spdyForwardProtocols } from './forward/spdy.ts';
import { WebSocketForward, webSocketForwardProtocols } from './forward/websocket.ts';
import { Refusal, type Upgrade } from './refuse.ts';
import type { CommandSession, Session, SessionLimits } from './session.ts';
import { chooseSpdyProtocol, switchToSpdy } from './spdy/upgrade.ts';
import { acceptWebSocket, offeredProtocols } from './websocket/accept.ts';

/** SPDY as binary messages, as kubectl has it through what lets only WebSockets pass. */
const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';

/** Upgrades the connection and carries the session. Throws a Refusal before the connection is upgraded. */
export const serveSession = (session: Session, upgrade: Upgrade, limits: SessionLimits, log: Log): void => {
  if (upgrade.request.headers.upgrade?.toLowerCase() === 'websocket') overWebSocket(session, upgrade, limits, log);
  else overSpdy(session, upgrade, limits, log);
};

const overSpdy = (session: Session, upgrade: Upgrade, limits: SessionLimits, log: Log): void => {
  if (session.kind === 'portforward') {
    switchToSpdy(upgrade, chooseSpdyProtocol(upgrade.request, spdyForwardProtocols));
    new SpdyForward(upgrade.socket, session, limits, log);
    return;
  }
  const protocol = chooseSpdyProtocol(upgrade.request, spdyCommandProtocols);
  switchToSpdy(upgrade, protocol);
  void commandOver(upgrade.socket, session, protocol, limits, log);
};

const commandOver = async (
  socket: Duplex,
  session: CommandSession,
  protocol: (typeof spdyCommandProtocols)[number],
  limits: SessionLimits,
  log: Log,
): Promise<void> => {
  try {
    await runCommand(session, await SpdyCommandClient.open(socket, protocol, session.wanted, limits), log);
  } catch (error) {
    log.debug({ kind: session.kind, cause: messageOf(error) }, 'a stream ended before it began');
  }
};

const overWebSocket = (session: Session, upgrade: Upgrade, limits: SessionLimits, log: Log): void => {
  const { request, socket, head } = upgrade;
  if (session.kind !== 'portforward') {
    const protocol = choose(request, webSocketCommandProtocols);
    acceptWebSocket(request, socket, head, protocol, (webSocket) => {
      void runCommand(session, new WebSocketCommandClient(webSocket, protocol, session.wanted, limits.idleMs), log);
    });
    return;
  }
  const protocol = choose(request, [...webSocketForwardProtocols, tunnelProtocol]);
  acceptWebSocket(request, socket, head, protocol, (webSocket) => {
    if (protocol === tunnelProtocol) new SpdyForward(createWebSocketStream(webSocket), session, limits, log);
    else new WebSocketForward(webSocket, protocol === 'v4.base64.channel.k8s.io', session, limits, log);
  });
};

const choose = <Name extends string>(request: IncomingMessage, known: readonly Name[]): Name => {
  const found = offeredProtocols(request).map((offered) => known.find((name) => name === offered));
  const protocol = found.find((name) => name !== undefined);
  if (protocol !== undefined) return protocol;
  throw new Refusal(403, `unable to upgrade: no protocol in common: berthd has ${known.filter(Boolean).join(', ')}`);
};
