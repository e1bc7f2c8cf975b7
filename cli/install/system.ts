import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BerthError, messageOf } from '../../base/errors.ts';
import type { Output } from '../context.ts';

const run = promisify(execFile);

/** A command of the machine's; its words are shown. `mayFail`: a node may do without it. */
export interface Command {
  readonly words: readonly string[];
  readonly mayFail?: boolean;
}

export const commandLine = ({ words }: Command): string => `> ${words.join(' ')}\n`;

export const perform = async (commands: readonly Command[], out: Output): Promise<void> => {
  for (const command of commands) {
    out.write(commandLine(command));
    const [program = '', ...args] = command.words;
    try {
      await run(program, args);
    } catch (error) {
      const cause = stderrOf(error) || messageOf(error);
      if (command.mayFail !== true) throw new BerthError('failed-precondition', `${command.words.join(' ')}: ${cause}`);
      out.error(`  ${cause}: left as it is\n`);
    }
  }
};

const stderrOf = (error: unknown): string =>
  error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';

/** What a command says. Throws failed-precondition with its error's text. */
export const answer = async (...words: readonly string[]): Promise<string> => {
  const [program = '', ...args] = words;
  try {
    return (await run(program, args)).stdout.trim();
  } catch (error) {
    throw new BerthError('failed-precondition', `${words.join(' ')}: ${stderrOf(error) || messageOf(error)}`);
  }
};

/** What a command says; "" when it fails without a word. */
export const ask = async (...words: readonly string[]): Promise<string> => {
  const [program = '', ...args] = words;
  const { stdout } = await run(program, args).catch((error: { readonly stdout?: string }) => ({
    stdout: error.stdout ?? '',
  }));
  return stdout.trim();
};

export const isActive = async (unit: string): Promise<boolean> =>
  ['active', 'activating', 'reloading'].includes(await ask('systemctl', 'is-active', unit));

export const isShuttingDown = async (): Promise<boolean> =>
  (await ask('systemctl', 'is-system-running')) === 'stopping';
