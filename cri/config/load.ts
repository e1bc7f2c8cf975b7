import { isUtf8 } from 'node:buffer';
import { invalid, messageOf, within } from '../../base/errors.ts';
import { readLimited } from '../../base/files.ts';
import { loadPolicy } from '../../images/verify/load.ts';
import { checkTogether } from './check.ts';
import type { Config } from './index.ts';
import { nearest } from './nearest.ts';
import { type Key, keys, tables, type Value } from './schema.ts';
import { type Document, type Entry, type Problem, readToml } from './toml.ts';
import { readValue } from './values.ts';

export const defaultConfigFile = '/etc/berth/config.toml';
const sizeLimit = 1 << 20;

/** Flags that stand above the file: the key's name and the text that was given. */
export type Overrides = Readonly<Partial<Record<'root' | 'state' | 'listen' | 'log_level', string>>>;

/**
 * The file's configuration with the flags above it. Without `file` the default one is read if it is there. Throws
 * `invalid-argument` with a line a problem: `config.toml:12: registry.plan_http: unknown key; …`.
 */
export const loadConfig = async (file: string | undefined, overrides: Overrides = {}): Promise<Config> => {
  const path = file ?? defaultConfigFile;
  const bytes = await readLimited(path, sizeLimit);
  if (bytes === undefined && file !== undefined) throw invalid(`${file}: there is no such file`);
  if (bytes !== undefined && !isUtf8(bytes)) throw invalid(`${path}: not UTF-8`);
  const config = parseConfig(bytes?.toString('utf8') ?? '', path, overrides);
  await checkPolicy(config);
  return config;
};

/** Its keys as well: a node that cannot verify what it was told to must not start. */
const checkPolicy = async ({ images }: Config): Promise<void> => {
  if (images.policy === '') return;
  try {
    await loadPolicy(images.policy);
  } catch (error) {
    throw within('images.policy', error);
  }
};

/** The same from text; `path` is for errors. */
export const parseConfig = (text: string, path: string, overrides: Overrides = {}): Config => {
  const values = new Map<string, Value>();
  const problems = [...readFile(readToml(text), values), ...readOverrides(overrides, values)];
  const config = assemble(values);
  const all = problems.length > 0 ? problems : checkTogether(config);
  if (all.length > 0) throw invalid(all.map((problem) => place(path, problem)).join('\n'));
  return config;
};

const place = (path: string, { line, text }: Problem): string =>
  line === undefined ? text : `${path}:${line}: ${text}`;

const readFile = (document: Document, values: Map<string, Value>): Problem[] => [
  ...document.problems,
  ...document.headers.filter(({ name }) => !isTable(name)).map(({ name, line }) => unknown('table', name, line)),
  ...document.entries.flatMap((entry) => readEntry(entry, values)),
];

const readEntry = (entry: Entry, values: Map<string, Value>): Problem[] => {
  const key = keys.find(({ name }) => name === entry.name);
  if (key !== undefined) return readInto(key, entry.value, values, entry.line);
  if (isTable(entry.name)) return [{ line: entry.line, text: `${entry.name}: is a table: write [${entry.name}]` }];
  // an unknown table has its own problem; its keys need none
  return isTable(tableOf(entry.name)) ? [unknown('key', entry.name, entry.line)] : [];
};

const isTable = (name: string): boolean => Object.hasOwn(tables, name);
const tableOf = (name: string): string => (name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : '');

const readOverrides = (overrides: Overrides, values: Map<string, Value>): Problem[] =>
  Object.entries(overrides).flatMap(([name, text]) => {
    const key = keys.find((candidate) => candidate.name === name);
    if (key === undefined || text === undefined) return [];
    const flag: Key = { ...key, name: `--${name.replaceAll('_', '-')}` };
    return readInto(flag, text, values, undefined, name);
  });

const readInto = (
  key: Key,
  raw: Entry['value'],
  values: Map<string, Value>,
  line: number | undefined,
  name = key.name,
): Problem[] => {
  try {
    values.set(name, readValue(key, raw));
    return [];
  } catch (error) {
    return [{ line, text: `${key.name}: ${messageOf(error)}` }];
  }
};

const unknown = (what: 'key' | 'table', name: string, line: number): Problem => {
  const near = nearest(name, what === 'key' ? keys.map((key) => key.name) : Object.keys(tables).filter(Boolean));
  return {
    line,
    text: `${name}: unknown ${what}${near === undefined ? '' : `; did you mean ${shortened(near, name)}?`}`,
  };
};

/** Within the same table the key alone is enough. */
const shortened = (near: string, name: string): string =>
  tableOf(near) === tableOf(name) ? near.slice(near.lastIndexOf('.') + 1) : near;

const assemble = (values: ReadonlyMap<string, Value>): Config => {
  const config = Object.fromEntries(Object.keys(tables).map((table): [string, Record<string, unknown>] => [table, {}]));
  for (const key of keys) {
    const table = config[tableOf(key.name)] ?? {};
    table[key.name.slice(key.name.indexOf('.') + 1)] = values.get(key.name) ?? key.default;
  }
  const { '': top = {}, ...rest } = config;
  if (!values.has('listen') && values.has('state')) top.listen = `unix://${top.state}/berth.sock`;
  return { ...top, ...rest } as unknown as Config;
};
