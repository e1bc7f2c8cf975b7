import type { Duplex } from 'node:stream';
import type { ProcessStreams, WantedStreams } from '../../shim/streams.ts';

export type { ProcessEnd, ProcessStreams, TerminalSize, WantedStreams } from '../../shim/streams.ts';

/** What a token stands for. The signals abort when the client is gone. */
export type Session = CommandSession | ForwardSession;

export interface CommandSession {
  readonly kind: 'exec' | 'attach';
  readonly wanted: WantedStreams;
  /** Errors become the session's status. */
  open(signal: AbortSignal): Promise<ProcessStreams>;
}

export interface ForwardSession {
  readonly kind: 'portforward';
  /** Of the request; over SPDY the client says with each connection which one it wants. */
  readonly ports: readonly number[];
  connect(port: number, signal: AbortSignal): Promise<Duplex>;
}

/** What a session may take. */
export interface SessionLimits {
  /** Without data in either direction; 0: for ever. */
  readonly idleMs: number;
  /** From the start of a session to the last stream that it needs. */
  readonly creationMs: number;
}
