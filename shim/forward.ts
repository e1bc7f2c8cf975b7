import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { BerthError } from '../base/errors.ts';
import type { Agent, RunResult } from './agent.ts';
import { errorOnStdout } from './native-error.ts';
import { SELF } from './program.ts';

const tokenLength = 32;
const greetMs = 10_000;
/** At the same time, of all clients: each has a process and pipes of the agent's. */
const mostConnections = 4096;

/**
 * TCP connections to the loopback of a network namespace. Nobody but a helper of ours can go there: one a connection is
 * started (`berth-shim forward`), connects inside, connects back to a socket of the daemon's, and carries the bytes.
 */
export class Forwarder {
  readonly #agent: Pick<Agent, 'run'>;
  readonly #path: string;
  readonly #waiting = new Map<string, (connection: Duplex) => void>();
  #running = 0;

  /** `path`: a unix socket whose connections are given to `accept`; half-open ones must be allowed there. */
  constructor(agent: Pick<Agent, 'run'>, path: string) {
    this.#agent = agent;
    this.#path = path;
  }

  /** A helper has connected; its first bytes are the token that it was started with. */
  accept(connection: Duplex): void {
    const late = setTimeout(() => connection.destroy(), greetMs);
    connection.once('close', () => clearTimeout(late));
    connection.on('error', () => connection.destroy());
    const greet = (): void => {
      const token = connection.read(tokenLength) as Buffer | null;
      if (token === null) return;
      clearTimeout(late);
      connection.off('readable', greet);
      const take = this.#waiting.get(token.toString('latin1'));
      if (take === undefined) connection.destroy();
      else take(connection);
    };
    connection.on('readable', greet);
  }

  /**
   * Connects to a port of the loopback, IPv4 and then IPv6, in the namespace at `netns` (undefined: the host's). Half-closes
   * are kept. Errors: `unavailable` "connect to port 80: ECONNREFUSED", `resource-exhausted`, `cancelled`. Abort ends the
   * connection as well.
   */
  async connect(netns: string | undefined, port: number, signal: AbortSignal): Promise<Duplex> {
    if (this.#running >= mostConnections)
      throw new BerthError('resource-exhausted', `connect to port ${port}: ${mostConnections} are forwarded already`);
    const token = randomBytes(tokenLength / 2).toString('hex');
    const connected = Promise.withResolvers<Duplex>();
    const end = new AbortController();
    this.#waiting.set(token, connected.resolve);
    const argv = [SELF, 'forward', netns ?? '', `${port}`, this.#path];
    const run = this.#agent.run({
      name: 'forward',
      argv,
      stdin: Buffer.from(token),
      signal: AbortSignal.any([signal, end.signal]),
    });
    this.#running += 1;
    const ended = (): void => {
      this.#running -= 1;
    };
    run.then(ended, ended);
    // Once it is connected its end is the connection's: nobody waits for this then.
    run.then((result) => connected.reject(failure(port, result)), connected.reject);
    try {
      const connection = await connected.promise;
      const abort = (): void => void connection.destroy();
      signal.addEventListener('abort', abort, { once: true });
      connection.once('close', () => {
        signal.removeEventListener('abort', abort);
        end.abort();
      });
      return connection;
    } finally {
      this.#waiting.delete(token);
    }
  }
}

const failure = (port: number, { code, stdout, stderr }: RunResult): BerthError => {
  const cause = errorOnStdout(stdout);
  const text = cause?.message ?? `connect to port ${port}: helper ended with ${code} ${stderr.toString('utf8').trim()}`;
  return new BerthError('unavailable', text, { cause });
};
