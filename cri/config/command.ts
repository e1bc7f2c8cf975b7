import { messageOf } from '../../base/errors.ts';
import { version } from '../version.ts';
import { type Arguments, help, parseArguments } from './arguments.ts';
import type { Config } from './index.ts';
import { loadConfig } from './load.ts';
import { defaultFile } from './print.ts';

/** Run the daemon with `config`, or end with `status`: all is printed. */
export type Outcome =
  | { readonly kind: 'run'; readonly config: Config }
  | { readonly kind: 'done'; readonly status: number };

export interface Output {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
}

const standard: Output = {
  out: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
};

/** Does what berthd's arguments say up to the daemon itself. 2: wrong arguments; 1: wrong configuration. */
export const runArguments = async (argv: readonly string[], output: Output = standard): Promise<Outcome> => {
  const done = (status: number): Outcome => ({ kind: 'done', status });
  const fail = (status: number, error: unknown): Outcome => {
    const lines = messageOf(error).split('\n');
    output.error(lines.map((line) => `berthd: ${line}\n`).join(''));
    return done(status);
  };
  let given: Arguments;
  try {
    given = parseArguments(argv);
  } catch (error) {
    return fail(2, error);
  }
  try {
    const config = await act(given, output);
    return config === undefined ? done(0) : { kind: 'run', config };
  } catch (error) {
    return fail(1, error);
  }
};

const act = async (given: Arguments, { out }: Output): Promise<Config | undefined> => {
  switch (given.kind) {
    case 'help':
      out(help);
      return undefined;
    case 'version':
      out(`berthd ${version}\n`);
      return undefined;
    case 'default':
      out(defaultFile());
      return undefined;
    case 'check':
      await loadConfig(given.file, given.overrides);
      out(`${given.file}: no errors\n`);
      return undefined;
    case 'run':
      return loadConfig(given.file, given.overrides);
  }
};
