import type { Config } from './index.ts';
import { keys, lastOf, tableOf, tables, type Value } from './schema.ts';

/** Sockets that follow `state` when that is set and they are not. Ten bytes at most, as check.ts counts on. */
export const inState: Readonly<Record<string, string>> = { listen: 'berth.sock', 'metrics.address': 'http.sock' };

/** The whole configuration, nothing of which can be changed: values by the keys' names, and defaults for the rest. */
export const assemble = (values: ReadonlyMap<string, Value>): Config => {
  const config = Object.fromEntries(Object.keys(tables).map((table): [string, Record<string, unknown>] => [table, {}]));
  for (const { name, default: standard } of keys) {
    const value = values.get(name) ?? standard;
    const table = config[tableOf(name)] ?? {};
    table[lastOf(name)] = Array.isArray(value) ? Object.freeze([...value]) : value;
  }
  for (const [name, socket] of Object.entries(inState)) {
    const table = config[tableOf(name)] ?? {};
    if (!values.has(name) && values.has('state')) table[lastOf(name)] = `unix://${config['']?.state}/${socket}`;
  }
  const { '': top = {}, ...rest } = config;
  for (const table of Object.values(rest)) Object.freeze(table);
  return Object.freeze({ ...top, ...rest }) as unknown as Config;
};

/** The value that a key has in it. */
export const settingOf = (config: Config, name: string): Value => {
  const table = tableOf(name);
  const object = table === '' ? config : config[table as keyof Config];
  return (object as unknown as Readonly<Record<string, Value>>)[lastOf(name)] ?? '';
};
