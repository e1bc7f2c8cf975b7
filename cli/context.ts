import type { Client } from '../api/client.ts';
import type { Terminal } from './stream/terminal.ts';

/** What a verb works with. */
export interface Context {
  readonly client: Client;
  readonly address: string;
  /** Below it `berth run` keeps a pod's logs. */
  readonly logRoot: string;
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  readonly out: Output;
  /** For what goes on with a person: exec, attach. */
  readonly terminal: Terminal;
}

export interface Output {
  readonly tty: boolean;
  readonly columns: number;
  write(data: string | Uint8Array): void;
  error(data: string | Uint8Array): void;
}

/** One file a verb. `run` gives the exit code. */
export interface Verb {
  readonly name: string;
  /** What follows `berth NAME`. */
  readonly usage: string;
  readonly summary: string;
  /** Lines for `berth help NAME`. */
  readonly options: readonly (readonly [string, string])[];
  run(argv: readonly string[], context: Context): Promise<number>;
}

/** Wrong words on the command line: exit code 2 and the verb's usage. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
