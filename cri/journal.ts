import { fstatSync } from 'node:fs';
import { type DestinationStream, destination } from 'pino';

/** pino's levels as the priorities of syslog(3), which the journal keeps for `journalctl -p`. */
export const priorityOf = (level: number): number => {
  if (level >= 60) return 2;
  if (level >= 50) return 3;
  if (level >= 40) return 4;
  return level >= 30 ? 6 : 7;
};

/** Whether the descriptor leads into the journal: systemd says "device:inode" of what it connected (systemd.exec(5)). */
export const isJournal = (fd: number, stream: string | undefined = process.env.JOURNAL_STREAM): boolean => {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(fd);
  return stream === `${dev}:${ino}`;
};

/** Each line, with the prefix that the journal takes its priority from. */
export const withPriority = (level: number, text: string): string =>
  text.replaceAll(/^(?=.)/gm, `<${priorityOf(level)}>`);

/** Where the log goes: to stdout, a JSON object a line; in the journal with its priority. */
export const logDestination = (toJournal = isJournal(1)): DestinationStream => {
  const stdout = destination({ fd: 1, sync: true });
  if (!toJournal) return stdout;
  const prefixed = {
    // asks pino for the level of each line
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 30,
    write: (line: string): void => void stdout.write(withPriority(prefixed.lastLevel, line)),
  };
  return prefixed;
};

/** What is said before there is a log. */
export const complain = (text: string): void => void process.stderr.write(isJournal(2) ? withPriority(50, text) : text);
