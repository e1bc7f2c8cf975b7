import type { Writable } from 'node:stream';
import type { Client } from '../../api/client.ts';
import { BerthError } from '../../base/errors.ts';
import { Channel, Channels } from './channels.ts';
import { dialOf } from './local.ts';
import { exitCodeOf } from './status.ts';
import type { Terminal } from './terminal.ts';

export interface SessionOptions {
  readonly terminal: Terminal;
  readonly stdin: boolean;
  /** The process has a terminal: ours is raw meanwhile, and tells its size. */
  readonly tty: boolean;
  /** Keys that end the session and leave the process alone (a terminal's only). */
  readonly detachKeys?: Buffer;
  /** A line for the person there, when the keys work. */
  readonly hint?: string;
  readonly signal: AbortSignal;
}

/** Joins our terminal with an exec or an attach of `url`; gives the exit code. */
export const runSession = async (client: Client, url: string, options: SessionOptions): Promise<number> => {
  const { signal } = options;
  const dial = await dialOf(client, url, { signal });
  const channels = await Channels.open(url, 'v5.channel.k8s.io', signal, dial);
  const undo = options.tty ? prepareTerminal(channels, options.terminal) : () => undefined;
  if (options.hint !== undefined) options.terminal.stderr.write(`${options.hint}\r\n`);
  const end = new AbortController();
  let detached = false;
  const status: Buffer[] = [];
  const feeding = options.stdin
    ? feed(channels, options, end.signal).then((reason) => {
        detached = reason === 'detached';
      })
    : undefined;
  try {
    await channels.read((channel, bytes) => {
      if (channel === Channel.STDOUT) return pass(options.terminal.stdout, bytes);
      if (channel === Channel.STDERR) return pass(options.terminal.stderr, bytes);
      if (channel === Channel.STATUS) status.push(bytes);
      return undefined;
    });
  } finally {
    end.abort();
    undo();
    channels.close();
    await feeding;
  }
  if (detached) return 0;
  if (status.length === 0) throw new BerthError('internal', 'the connection to berthd was lost');
  return exitCodeOf(Buffer.concat(status).toString('utf8'));
};

const pass = (to: Writable, bytes: Buffer): Writable | undefined => (to.write(bytes) ? undefined : to);

const prepareTerminal = (channels: Channels, terminal: Terminal): (() => void) => {
  const tell = (): void => {
    const size = terminal.size();
    if (size === undefined) return;
    const text = JSON.stringify({ Width: size.columns, Height: size.rows });
    void channels.write(Channel.RESIZE, Buffer.from(text));
  };
  tell();
  const quiet = terminal.onResize(tell);
  const raw = terminal.setRaw(true);
  return () => {
    quiet();
    if (raw) terminal.setRaw(false);
  };
};

/** Our stdin to the process, until it ends, the session ends, or the detach keys are typed. */
const feed = async (
  channels: Channels,
  { terminal: { stdin }, tty, detachKeys }: SessionOptions,
  signal: AbortSignal,
): Promise<'ended' | 'detached'> => {
  const stop = (): void => void stdin.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      const keys = tty && detachKeys !== undefined ? chunk.indexOf(detachKeys) : -1;
      await channels.write(Channel.STDIN, keys < 0 ? chunk : chunk.subarray(0, keys));
      if (keys < 0 && !channels.closed) continue;
      channels.close();
      return keys < 0 ? 'ended' : 'detached';
    }
    await channels.write(Channel.CLOSE, Buffer.from([Channel.STDIN]));
  } catch (error) {
    // Ended by `stop`: nobody reads it any more.
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
  return 'ended';
};
