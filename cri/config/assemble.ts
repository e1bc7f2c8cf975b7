import type { Config } from './index.ts';
import { keys, lastOf, tableOf, tables, type Value } from './schema.ts';

/** The whole configuration, nothing of which can be changed: values by the keys' names, and defaults for the rest. */
export const assemble = (values: ReadonlyMap<string, Value>): Config => {
  const config = Object.fromEntries(Object.keys(tables).map((table): [string, Record<string, unknown>] => [table, {}]));
  for (const { name, default: standard } of keys) {
    const value = values.get(name) ?? standard;
    const table = config[tableOf(name)] ?? {};
    table[lastOf(name)] = Array.isArray(value) ? Object.freeze([...value]) : value;
  }
  const { '': top = {}, ...rest } = config;
  if (!values.has('listen') && values.has('state')) top.listen = `unix://${top.state}/berth.sock`;
  for (const table of Object.values(rest)) Object.freeze(table);
  return Object.freeze({ ...top, ...rest }) as unknown as Config;
};

/** The value that a key has in it. */
export const settingOf = (config: Config, name: string): Value => {
  const table = tableOf(name);
  const object = table === '' ? config : config[table as keyof Config];
  return (object as unknown as Readonly<Record<string, Value>>)[lastOf(name)] ?? '';
};
