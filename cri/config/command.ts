import { messageOf } from '../../base/errors.ts';
import { complain } from '../journal.ts';
import { version } from '../version.ts';
import { type Arguments, help, parseArguments } from './arguments.ts';
import { type Loaded, loadConfig } from './load.ts';
import { checkNamedFiles } from './named-files.ts';
import { defaultFile, dumpFile } from './print.ts';
import { defaultConfigFile, passedOverInWords } from './sources.ts';

/** The configuration, and how it is read anew from the same files and flags. */
export interface Run {
  readonly loaded: Loaded;
  readonly again: () => Promise<Loaded>;
}

/** Run the daemon with it, or end with `status`: all is printed. */
export type Outcome = ({ readonly kind: 'run' } & Run) | { readonly kind: 'done'; readonly status: number };

export interface Output {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
}

const standard: Output = {
  out: (text) => void process.stdout.write(text),
  error: complain,
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
    const run = await act(given, output);
    return run === undefined ? done(0) : { kind: 'run', ...run };
  } catch (error) {
    return fail(1, error);
  }
};

const act = async (given: Arguments, { out, error }: Output): Promise<Run | undefined> => {
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
      out(await checked(await load(given), error));
      return undefined;
    case 'dump':
      out(dumpFile(await load(given)));
      return undefined;
    case 'run':
      return { loaded: await load(given), again: () => load(given) };
  }
};

const load = ({ file, overrides }: Extract<Arguments, { readonly overrides: unknown }>): Promise<Loaded> =>
  loadConfig(file, overrides);

const checked = async (loaded: Loaded, warn: Output['error']): Promise<string> => {
  await checkNamedFiles(loaded);
  const { files, passedOver } = loaded;
  for (const path of passedOver) warn(`berthd: warning: ${passedOverInWords(path)}\n`);
  return files.length === 0
    ? `${defaultConfigFile}: there is no such file, so all keys have their defaults\n`
    : files.map((file) => `${file}: no errors\n`).join('');
};
