export type TomlValue = string | number | boolean | readonly string[];
/** Top-level keys, and tables of keys. */
export type TomlDocument = Readonly<Record<string, TomlValue | Readonly<Record<string, TomlValue>>>>;

const isTable = (value: TomlDocument[string]): value is Readonly<Record<string, TomlValue>> =>
  typeof value === 'object' && !Array.isArray(value);

const lines = (table: Readonly<Record<string, TomlValue>>): string[] =>
  Object.entries(table).map(([key, value]) => `${key} = ${JSON.stringify(value)}`); // JSON's strings are TOML's

export const toToml = (document: TomlDocument): string => {
  const top: Record<string, TomlValue> = {};
  const tables: string[] = [];
  for (const [key, value] of Object.entries(document))
    if (isTable(value)) tables.push('', `[${key}]`, ...lines(value));
    else top[key] = value;
  return `${[...lines(top), ...tables].join('\n')}\n`;
};

/** Keys of `extra` win; tables are joined key by key. */
export const merged = (base: TomlDocument, extra: TomlDocument): TomlDocument => {
  const result: Record<string, TomlDocument[string]> = { ...base };
  for (const [key, value] of Object.entries(extra)) {
    const before = result[key];
    result[key] = isTable(value) && before !== undefined && isTable(before) ? { ...before, ...value } : value;
  }
  return result;
};
