import { inState, settingOf } from './assemble.ts';
import type { Loaded } from './load.ts';
import { type Key, keys, lastOf, tableOf, tables, type Value } from './schema.ts';

/** JSON's strings, numbers and lists are TOML's as well. */
export const toml = (value: Value): string =>
  Array.isArray(value) ? `[${value.map((item) => JSON.stringify(item)).join(', ')}]` : JSON.stringify(value);

const standardEntry = (key: Key): string => {
  const choices = key.choices === undefined ? [] : [`# One of: ${key.choices.join(', ')}.`];
  const restart = key.reload ? [] : ['# A change needs a restart of berthd.'];
  const lines = [...key.comment.map((line) => `# ${line}`), ...choices, ...restart];
  return [...lines, `${lastOf(key.name)} = ${toml(key.default)}`].join('\n');
};

const ownKeys = (table: string): readonly Key[] => keys.filter(({ name }) => tableOf(name) === table);

const standardTable = ([name, comment]: [string, string]): string => {
  const head =
    name === ''
      ? '# Berth: /etc/berth/config.toml. Every key has the default that stands here.\n'
      : `# ${comment}\n[${name}]`;
  return `${head}\n${ownKeys(name).map(standardEntry).join('\n\n')}\n`;
};

/** The whole file with every default and its comment. */
export const defaultFile = (): string => Object.entries(tables).map(standardTable).join('\n');

/** What is in force, as a file that says the same, with the place that each value comes from. */
export const dumpFile = ({ config, origins, files }: Loaded): string => {
  const originOf = (name: string): string => {
    if (Object.hasOwn(inState, name) && !origins.has(name) && origins.has('state')) return 'follows state';
    return origins.get(name) ?? 'default';
  };
  const entry = ({ name }: Key): string => `${lastOf(name)} = ${toml(settingOf(config, name))}  # ${originOf(name)}`;
  const table = (name: string): string =>
    [...(name === '' ? [] : [`[${name}]`]), ...ownKeys(name).map(entry)].join('\n');
  const head = `# Read: ${files.join(', ') || 'no file'}`;
  return `${[head, ...Object.keys(tables).map(table)].join('\n\n')}\n`;
};
