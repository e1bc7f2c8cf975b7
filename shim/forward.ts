import type { Duplex } from 'node:stream';
import type { Agent } from './agent.ts';

/**
 * A TCP connection made inside of a network namespace (undefined: the host's) to a port of its loopback, IPv4 and then
 * IPv6. Half-closes are kept. Errors: `unavailable` "connect to port 80: connection refused", `cancelled`.
 */
export type ConnectInside = (
  agent: Agent,
  netns: string | undefined,
  port: number,
  signal: AbortSignal,
) => Promise<Duplex>;
