import { join } from 'node:path';
import { listen } from '../../api/listen.ts';
import type { Agent } from '../../shim/agent.ts';
import { Forwarder } from '../../shim/forward.ts';
import type { Config } from '../config/index.ts';
import type { Log } from '../log.ts';
import { StreamingServer } from './server.ts';
import type { SessionLimits } from './session.ts';

/**
 * The server as the configuration wants it. Where clients must have a certificate, `berth` on this node, which has none, comes over
 * a socket of the state directory (cli/stream/local.ts). Errors: `failed-precondition`.
 */
export const openStreaming = ({ streaming, state }: Config, log: Log): Promise<StreamingServer> => {
  const { tls_cert: cert, tls_key: key, tls_client_ca: clientCa } = streaming;
  return StreamingServer.start({
    address: streaming.address,
    port: streaming.port,
    certificates: cert === '' ? undefined : { cert, key, clientCa },
    local: clientCa === '' ? undefined : join(state, 'local.sock'),
    ...sessionLimits(streaming),
    log,
  });
};

export const sessionLimits = ({ idle_seconds, creation_seconds }: Config['streaming']): SessionLimits => ({
  idleMs: idle_seconds * 1000,
  creationMs: creation_seconds * 1000,
});

/** Helpers inside of pods' network namespaces connect back to a socket in the state directory. */
export const openForwarder = async (
  { state }: Config,
  agent: Agent,
  stack: AsyncDisposableStack,
): Promise<Forwarder> => {
  const path = join(state, 'fwd.sock');
  const forwarder = new Forwarder(agent, path);
  const server = await listen(path, (connection) => forwarder.accept(connection), { allowHalfOpen: true });
  stack.defer(() => void server.close());
  return forwarder;
};
