import { defaultAddress } from '../api/address.ts';
import { connect } from '../api/client.ts';
import { parseHead } from './arguments.ts';
import { type Output, UsageError, type Verb } from './context.ts';
import { inWords } from './failure.ts';
import { findVerb, generalHelp, usageOf, verbHelp } from './help.ts';
import type { Terminal } from './stream/terminal.ts';
import { version } from './version.ts';

export interface Surroundings {
  readonly out: Output;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  /** BERTH_ADDRESS of the environment. */
  readonly address: string | undefined;
  readonly logRoot: string;
}

/** Does what the words say and gives the exit code. */
export const runCommand = async (argv: readonly string[], around: Surroundings): Promise<number> => {
  try {
    return await dispatch(argv, around);
  } catch (error) {
    around.out.error(`berth: ${inWords(error, '')}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
};

const dispatch = async (argv: readonly string[], around: Surroundings): Promise<number> => {
  const { values, rest } = parseHead(argv, {
    address: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
    version: { type: 'boolean', default: false },
  });
  const [name, ...words] = rest;
  if (values.version) return print(around, `berth ${version}\n`);
  if (values.help || name === undefined) return print(around, generalHelp());
  if (name === 'help') return print(around, words[0] === undefined ? generalHelp() : verbHelp(findVerb(words[0])));
  const verb = findVerb(name);
  // what follows `--` or the first other word may be the container's own --help
  const asked = verb.name === 'system' ? words.slice(0, 2) : words.slice(0, 1);
  if (asked.includes('--help') || asked.includes('-h')) return print(around, verbHelp(verb));
  return perform(verb, words, values.address ?? around.address ?? defaultAddress, around);
};

const print = ({ out }: Surroundings, text: string): number => {
  out.write(text);
  return 0;
};

/** run, exec and attach hand on the command's exit code, so that their own failures need one that commands rarely use. */
const failureCode = ({ name }: Verb): number => (['run', 'exec', 'attach'].includes(name) ? 125 : 1);

const perform = async (
  verb: Verb,
  words: readonly string[],
  address: string,
  { out, terminal, signal, logRoot }: Surroundings,
): Promise<number> => {
  try {
    using client = connect(address);
    return await verb.run(words, { client, address, out, terminal, signal, logRoot });
  } catch (error) {
    out.error(`berth ${verb.name}: ${inWords(error, address)}\n`);
    if (!(error instanceof UsageError)) return failureCode(verb);
    out.error(`${usageOf(verb)}\n`);
    return 2;
  }
};
