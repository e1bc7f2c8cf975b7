import { type Key, keys, tables, type Value } from './schema.ts';

/** JSON's strings, numbers and lists are TOML's as well. */
const toml = (value: Value): string =>
  Array.isArray(value) ? `[${value.map((item) => JSON.stringify(item)).join(', ')}]` : JSON.stringify(value);

const entry = (key: Key): string => {
  const name = key.name.slice(key.name.indexOf('.') + 1);
  const choices = key.choices === undefined ? [] : [`# One of: ${key.choices.join(', ')}.`];
  return [...key.comment.map((line) => `# ${line}`), ...choices, `${name} = ${toml(key.default)}`].join('\n');
};

const table = ([name, comment]: [string, string]): string => {
  const own = keys.filter((key) => (key.name.includes('.') ? key.name.startsWith(`${name}.`) : name === ''));
  const head =
    name === ''
      ? '# Berth: /etc/berth/config.toml. Every key has the default that stands here.'
      : `# ${comment}\n[${name}]`;
  return `${head}\n${name === '' ? '\n' : ''}${own.map(entry).join('\n\n')}\n`;
};

/** The whole file with every default and its comment. */
export const defaultFile = (): string => Object.entries(tables).map(table).join('\n');
