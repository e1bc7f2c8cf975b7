import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const families = ['iptables', 'ip6tables'] as const;
type Family = (typeof families)[number];

/** One line of `iptables-save`: a chain (`:NAME`) or a rule (`-A …`). */
export interface Rule {
  readonly family: Family;
  readonly table: string;
  readonly line: string;
}

const saved = async (family: Family): Promise<string> => {
  try {
    return (await run(`${family}-save`, [], { maxBuffer: 64 << 20 })).stdout;
  } catch {
    return ''; // not installed, or the kernel lacks it: then nothing of it can be left either
  }
};

/** Counters change by themselves and are left out. */
export const parseSaved = (family: Family, text: string): Rule[] => {
  let table = '';
  return text.split('\n').flatMap((line) => {
    if (line.startsWith('*')) table = line.slice(1);
    if (line.startsWith(':')) return [{ family, table, line: line.split(' ').slice(0, 2).join(' ') }];
    return line.startsWith('-A ') ? [{ family, table, line }] : [];
  });
};

export const currentRules = async (): Promise<Rule[]> =>
  (await Promise.all(families.map(async (family) => parseSaved(family, await saved(family))))).flat();

/** Chains of CNI plugins and rules that lead to them; what another program made meanwhile is not ours. */
export const ownRules = (before: readonly Rule[], after: readonly Rule[]): Rule[] => {
  const known = new Set(before.map(({ family, table, line }) => `${family} ${table} ${line}`));
  return after.filter(({ family, table, line }) => /\bCNI-/.test(line) && !known.has(`${family} ${table} ${line}`));
};

/** The words of a saved rule: quoted ones may hold spaces, and quotes behind a backslash. */
export const words = (line: string): string[] =>
  [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(
    ([, quoted, bare]) => quoted?.replaceAll(/\\(.)/g, '$1') ?? bare ?? '',
  );

/** Rules first, then the chains that they led to. */
export const removeRules = async (rules: readonly Rule[]): Promise<void> => {
  for (const { family, table, line } of rules.filter((rule) => rule.line.startsWith('-A ')))
    await run(family, ['-w', '-t', table, '-D', ...words(line).slice(1)]);
  for (const { family, table, line } of rules.filter((rule) => rule.line.startsWith(':')))
    await run(family, ['-w', '-t', table, '-X', line.slice(1).split(' ')[0] ?? '']);
};
