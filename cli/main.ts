import { runCommand } from './command.ts';
import { ownTerminal } from './stream/terminal.ts';

/** `berth`: a client of berthd's socket, without any state of its own. */
const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
// the reader of a pipe may leave early (`berth logs x | head`)
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exitCode = error.code === 'EPIPE' ? 0 : 1;
    stop.abort();
  });

process.exitCode = await runCommand(process.argv.slice(2), {
  signal: stop.signal,
  logRoot: '/var/log/berth',
  address: process.env.BERTH_ADDRESS || undefined,
  terminal: ownTerminal(),
  out: {
    tty: process.stdout.isTTY,
    columns: process.stdout.columns || 80,
    write: (data) => void process.stdout.write(data),
    error: (data) => void process.stderr.write(data),
  },
});
