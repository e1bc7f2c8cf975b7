import { defaultAddress } from '../api/address.ts';
import { UsageError, type Verb } from './context.ts';
import { habitOf } from './habits.ts';
import { verbs } from './verbs/index.ts';

const columns = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('');
};

const say = (hint: string | undefined): string => (hint === undefined ? '' : `: ${hint}`);

export const findVerb = (name: string): Verb => {
  const verb = verbs.find((candidate) => candidate.name === name);
  if (verb === undefined)
    throw new UsageError(`there is no verb ${JSON.stringify(name)}${say(habitOf(name))}; see berth help`);
  return verb;
};

export const generalHelp = (): string =>
  `berth: pods, containers and images of this machine, by berthd

usage: berth [--address ADDRESS] VERB …

${columns(verbs.map(({ name, summary }) => [name, summary]))}
Pods and containers are meant by name (pod, pod/container) or by the first letters of their id.
\`berth help VERB\` shows a verb's options.

  --address ADDRESS  berthd's socket; default $BERTH_ADDRESS or ${defaultAddress}
  --version          the version of berth
  -h, --help         this text

Exit codes: run, exec and attach give the command's own, and 125 when berth itself fails; else 0, 1 for an error, 2 for wrong usage.
`;

export const usageOf = (verb: Verb): string => `usage: berth ${verb.name} ${verb.usage}`.trimEnd();

export const verbHelp = (verb: Verb): string =>
  `berth ${verb.name}: ${verb.summary}\n\n${usageOf(verb)}\n${verb.options.length === 0 ? '' : `\n${columns(verb.options)}`}`;
