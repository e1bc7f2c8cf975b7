import { invalid, messageOf } from '../../base/errors.ts';
import { loadPolicies } from '../../images/verify/policies.ts';
import { assemble } from './assemble.ts';
import { checkTogether } from './check.ts';
import type { Config } from './index.ts';
import { nearest } from './nearest.ts';
import { type Key, keys, tableOf, tables, type Value } from './schema.ts';
import { readSources, type Source } from './sources.ts';
import { type Document, type Entry, isEmptyTable, readToml } from './toml.ts';
import { readValue } from './values.ts';

/** Flags that stand above the files: the key's name and the text that was given. */
export type Overrides = Readonly<Partial<Record<'root' | 'state' | 'listen' | 'log_level', string>>>;

export interface Loaded {
  readonly config: Config;
  /** The files that were read, the last one standing above the others. */
  readonly files: readonly string[];
  /** Files among the drop-ins that were not read, for their names. */
  readonly passedOver: readonly string[];
  /** Where a key's value comes from, `FILE:LINE` or a flag; a key that is not here has its default. */
  readonly origins: Origins;
}

export type Origins = ReadonlyMap<string, string>;

export interface Problem {
  /** `FILE:LINE`; undefined for flags, which name themselves. */
  readonly place: string | undefined;
  readonly text: string;
}

/** What was read so far; a later source's value stands above an earlier one's. */
interface Reading {
  readonly values: Map<string, Value>;
  readonly origins: Map<string, string>;
}

/**
 * The configuration of the file, its drop-ins and the flags above them. Without `file` the default one is read if it is
 * there. Throws `invalid-argument` with a line a problem: `config.toml:12: registry.plan_http: unknown key; …`.
 */
export const loadConfig = async (file: string | undefined, overrides: Overrides = {}): Promise<Loaded> => {
  const { sources, passedOver } = await readSources(file);
  const loaded = parseSources(sources, overrides);
  await checkPolicy(loaded);
  return { ...loaded, passedOver };
};

/** Its keys as well: a node that cannot verify what it was told to must not start. */
const checkPolicy = async ({ config: { images }, origins }: Loaded): Promise<void> => {
  const checks = [
    { key: 'images.policy', check: () => loadPolicies(images.policy, '') },
    { key: 'images.policy_dir', check: () => loadPolicies('', images.policy_dir) },
  ];
  for (const { key, check } of checks)
    await check().catch((error: unknown) => {
      throw invalid(inWords({ place: lineOf([key], origins), text: `${key}: ${messageOf(error)}` }));
    });
};

/** The same from texts. */
export const parseSources = (sources: readonly Source[], overrides: Overrides = {}): Loaded => {
  const reading: Reading = { values: new Map(), origins: new Map() };
  const problems = [
    ...sources.flatMap(({ path, text }) => readFile(readToml(text), path, reading)),
    ...readOverrides(overrides, reading),
  ];
  const { origins } = reading;
  const config = assemble(reading.values);
  const all = problems.length > 0 ? problems : togetherProblems(config, origins);
  if (all.length > 0) throw invalid(all.map(inWords).join('\n'));
  return { config, origins, files: sources.map(({ path }) => path), passedOver: [] };
};

/** The same from one text. */
export const parseConfig = (text: string, path: string, overrides: Overrides = {}): Config =>
  parseSources([{ path, text }], overrides).config;

export const inWords = ({ place, text }: Problem): string => (place === undefined ? text : `${place}: ${text}`);

/** Each with the line of the first of its keys that a file sets. */
const togetherProblems = (config: Config, origins: Origins): Problem[] =>
  checkTogether(config).map(({ names, text }) => ({ place: lineOf(names, origins), text }));

/** Where a file sets the first of these keys that one does. */
export const lineOf = (names: readonly string[], origins: Origins): string | undefined =>
  names.map((name) => origins.get(name)).find((origin) => origin !== undefined && !origin.startsWith('--'));

const readFile = (document: Document, path: string, reading: Reading): Problem[] => {
  const headed = new Set(document.headers.map(({ name }) => name));
  const at = (line: number | undefined): string | undefined => (line === undefined ? path : `${path}:${line}`);
  return [
    ...document.problems.map(({ line, text }) => ({ place: at(line), text })),
    ...document.headers
      .filter(({ name }) => !isTable(name))
      .map(({ name, line }) => ({ place: at(line), text: unknown('table', name) })),
    ...document.entries.flatMap((entry) => readEntry(entry, `${path}:${entry.line}`, headed, reading)),
  ];
};

/** `headed`: the tables that have a header. */
const readEntry = ({ name, value }: Entry, place: string, headed: ReadonlySet<string>, reading: Reading): Problem[] => {
  const key = keys.find((candidate) => candidate.name === name);
  if (key !== undefined) return readInto(key, value, place, reading);
  if (isTable(name)) return isEmptyTable(value) ? [] : [{ place, text: `${name}: is a table: write [${name}]` }];
  // the header of an unknown table has its own problem; its keys need none
  const isTold = headed.has(tableOf(name)) && !isTable(tableOf(name));
  return isTold ? [] : [{ place, text: unknown('key', name) }];
};

const isTable = (name: string): boolean => Object.hasOwn(tables, name);

const readOverrides = (overrides: Overrides, reading: Reading): Problem[] =>
  Object.entries(overrides).flatMap(([name, text]) => {
    const key = keys.find((candidate) => candidate.name === name);
    if (key === undefined || text === undefined) return [];
    const flag = `--${name.replaceAll('_', '-')}`;
    return readInto(key, text, flag, reading).map((problem) => ({ ...problem, place: flag }));
  });

const readInto = (key: Key, raw: Entry['value'], place: string, { values, origins }: Reading): Problem[] => {
  try {
    values.set(key.name, readValue(key, raw));
    origins.set(key.name, place);
    return [];
  } catch (error) {
    return [{ place, text: place.startsWith('--') ? messageOf(error) : `${key.name}: ${messageOf(error)}` }];
  }
};

const unknown = (what: 'key' | 'table', name: string): string => {
  const near = nearest(name, what === 'key' ? keys.map((key) => key.name) : Object.keys(tables).filter(Boolean));
  return `${name}: unknown ${what}${near === undefined ? '' : `; did you mean ${shortened(near, name)}?`}`;
};

/** Within the same table the key alone is enough. */
const shortened = (near: string, name: string): string =>
  tableOf(near) === tableOf(name) ? near.slice(near.lastIndexOf('.') + 1) : near;
