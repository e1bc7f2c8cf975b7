import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { messageOf, within } from '../../../base/errors.ts';
import type { ProcessEnd, ProcessStreams } from '../../../shim/streams.ts';
import type { Log } from '../../log.ts';
import type { CommandSession } from '../session.ts';
import { Sizes } from './sizes.ts';
import { type Status, statusOfEnd, statusOfError, success } from './status.ts';

/** What a client has opened, whatever it came over. What it did not want is undefined. */
export interface CommandClient {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  readonly resize: Readable | undefined;
  /** Aborts when the client is gone. */
  readonly lost: AbortSignal;
  /** The last thing that it hears. Resolves when it is on its way. */
  finish(status: Status): Promise<void>;
}

/** Carries bytes between a client and a process until one of them ends. Never rejects: errors are the client's status. */
export const runCommand = async (session: CommandSession, client: CommandClient, log: Log): Promise<void> => {
  try {
    const end = await carry(session, client);
    await client.finish(session.kind === 'exec' ? statusOfEnd(end) : success);
  } catch (error) {
    log.debug({ kind: session.kind, cause: messageOf(error) }, 'a stream ended with an error');
    if (!client.lost.aborted) await client.finish(statusOfError(within(actions[session.kind], error)));
  }
};

const actions = { exec: 'error executing command in container', attach: 'error attaching to container' } as const;

const carry = async (session: CommandSession, client: CommandClient): Promise<ProcessEnd> => {
  const process = await session.open(client.lost);
  const close = (): void => process.close();
  client.lost.addEventListener('abort', close, { once: true });
  try {
    if (client.lost.aborted) close();
    // first: what came before the first input stays before it
    resizes(client.resize, process);
    const fed = feed(client.stdin, process.stdin);
    const drained = Promise.all([pump(process.stdout, client.stdout), pump(process.stderr, client.stderr)]);
    drained.catch(() => undefined); // when `ended` rejects first
    const end = await Promise.race([process.ended, ...inputOnly(session, fed)]);
    await drained;
    return end;
  } finally {
    client.lost.removeEventListener('abort', close);
    close();
  }
};

/** An attach that only brings input is over with it. */
const inputOnly = ({ kind, wanted }: CommandSession, fed: Promise<void>): Promise<ProcessEnd>[] =>
  kind === 'attach' && !wanted.stdout && !wanted.stderr ? [fed.then(() => ({ code: 0, signal: 0 }))] : [];

/** Resolves when the client has no more input, or the process takes none. */
const feed = async (from: Readable | undefined, to: Writable | undefined): Promise<void> => {
  if (from === undefined || to === undefined) {
    from?.resume();
    return;
  }
  // what nobody reads any more must not hold up the rest of the connection
  carryTo(
    to.on('error', () => undefined),
    from,
  );
  await finished(from, { writable: false }).catch(() => undefined);
  to.end();
};

/** Resolves when all output is on its way to the client; one that has closed this stream does not stop the process. */
const pump = async (from: Readable | undefined, to: Writable | undefined): Promise<void> => {
  if (from === undefined) {
    to?.end();
    return;
  }
  if (to === undefined) {
    from.resume();
    return;
  }
  carryTo(to, from);
  await finished(from, { writable: false });
  await finished(to, { readable: false }).catch(() => undefined);
};

/** What comes after `to` is closed is read and dropped. */
const carryTo = (to: Writable, from: Readable): void => {
  if (to.destroyed) {
    from.resume();
    return;
  }
  to.once('close', () => from.resume());
  from.pipe(to);
};

const resizes = (from: Readable | undefined, process: ProcessStreams): void => {
  const sizes = new Sizes();
  from?.on('data', (bytes: Buffer) => {
    for (const size of sizes.push(bytes)) process.resize(size);
  });
};
