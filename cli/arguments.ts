import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { messageOf } from '../base/errors.ts';
import { UsageError } from './context.ts';

/** Options and the words that are left. Throws UsageError. */
export const parse = <const Options extends ParseArgsOptionsConfig>(argv: readonly string[], options: Options) => {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    const [first = ''] = messageOf(error).split(/\.?\n|\. /);
    throw new UsageError(first);
  }
};

/**
 * The same, but options end at the first other word: what follows belongs to the container
 * (`berth run --rm IMAGE ls --all`).
 */
export const parseHead = <const Options extends ParseArgsOptionsConfig>(argv: readonly string[], options: Options) => {
  const end = headLength(argv, options);
  const { values } = parse(argv.slice(0, end), options);
  const rest = argv.slice(end);
  return { values, rest: rest[0] === '--' ? rest.slice(1) : rest };
};

const headLength = (argv: readonly string[], options: ParseArgsOptionsConfig): number => {
  let at = 0;
  while (at < argv.length) {
    const word = argv[at] ?? '';
    if (word === '--' || word === '-' || !word.startsWith('-')) return at;
    at += takesNext(word, options) ? 2 : 1;
  }
  return argv.length;
};

const takesNext = (word: string, options: ParseArgsOptionsConfig): boolean => {
  if (word.includes('=')) return false;
  const found = word.startsWith('--')
    ? options[word.slice(2)]
    : Object.values(options).find(({ short }) => short === word.slice(1));
  return found?.type === 'string';
};

/** A whole number of `unit`, or a UsageError that names the option. */
export const wholeNumber = (option: string, text: string, unit: string): number => {
  if (!/^\d{1,9}$/.test(text))
    throw new UsageError(`${option}: wants a whole number of ${unit}, not ${JSON.stringify(text)}`);
  return Number(text);
};

const units = 'bkmgt';

/** Bytes: "512m", "2g", "1048576"; 1k is 1024. A UsageError that names the option otherwise. */
export const byteSize = (option: string, text: string): number => {
  const [, number, unit = 'b'] = /^(\d{1,15}(?:\.\d{1,3})?)([bkmgt])?(?:i?b)?$/i.exec(text) ?? [];
  const bytes = Number(number) * 1024 ** units.indexOf(unit.toLowerCase());
  if (!Number.isSafeInteger(Math.round(bytes)))
    throw new UsageError(`${option}: wants a size such as 512m or 2g, not ${JSON.stringify(text)}`);
  return Math.round(bytes);
};

const seconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds: "90s", "30m", "24h", "7d". A UsageError that names the option otherwise. */
export const duration = (option: string, text: string): number => {
  const [, number = '', unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (number === '')
    throw new UsageError(`${option}: wants a time such as 30m, 24h or 7d, not ${JSON.stringify(text)}`);
  return Number(number) * (seconds[unit] ?? 0);
};
