import { type AST, ParseError, parseTOML } from 'toml-eslint-parser';

/** What stands at a key, with its line. Dates and inline tables in lists are `unfit`: no key takes them. */
export type Raw = string | bigint | number | boolean | readonly Raw[] | { readonly unfit: string };

export interface Entry {
  /** `registry.plain_http`, however it was written. */
  readonly name: string;
  readonly line: number;
  readonly value: Raw;
}

export interface Problem {
  readonly line: number | undefined;
  readonly text: string;
}

export interface Document {
  readonly entries: readonly Entry[];
  /** Headers `[name]`, also those of tables without a key. */
  readonly headers: readonly { readonly name: string; readonly line: number }[];
  readonly problems: readonly Problem[];
}

/** Flattens a TOML 1.0 file; a syntax error or a key that comes twice is its one problem. */
export const readToml = (text: string): Document => {
  try {
    const { body } = parseTOML(text, { tomlVersion: '1.0' }).body[0];
    return {
      entries: body.flatMap((item) =>
        item.type === 'TOMLTable' ? item.body.flatMap(entries(tableName(item))) : entries('')(item),
      ),
      headers: body.flatMap((item) =>
        item.type === 'TOMLTable' ? [{ name: tableName(item), line: item.loc.start.line }] : [],
      ),
      problems: body.flatMap((item) =>
        item.type === 'TOMLTable' && item.kind === 'array' ? [arrayProblem(item)] : [],
      ),
    };
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    return { entries: [], headers: [], problems: [{ line: error.lineNumber, text: lowered(error.message) }] };
  }
};

const lowered = (message: string): string => `${message.charAt(0).toLowerCase()}${message.slice(1).replace(/\.$/, '')}`;

/** A quoted name that could not stand bare is none of ours: `"registry.plain_http"` is one key, and not that of a table. */
const keyName = ({ keys }: AST.TOMLKey): string =>
  keys
    .map((key) => {
      const name = key.type === 'TOMLBare' ? key.name : key.value;
      return /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name);
    })
    .join('.');

const tableName = (table: AST.TOMLTable): string => keyName(table.key);

const arrayProblem = (table: AST.TOMLTable): Problem => ({
  line: table.loc.start.line,
  text: `${tableName(table)}: [[…]] makes a list of tables: write [${tableName(table)}]`,
});

const entries =
  (prefix: string) =>
  ({ key, value, loc }: AST.TOMLKeyValue): Entry[] => {
    const name = prefix === '' ? keyName(key) : `${prefix}.${keyName(key)}`;
    if (value.type === 'TOMLInlineTable' && value.body.length > 0) return value.body.flatMap(entries(name));
    return [{ name, line: loc.start.line, value: raw(value) }];
  };

const table: Raw = { unfit: 'a table' };

/** `x = {}` */
export const isEmptyTable = (value: Raw): boolean => value === table;

const raw = (node: AST.TOMLContentNode): Raw => {
  if (node.type === 'TOMLArray') return node.elements.map(raw);
  if (node.type === 'TOMLInlineTable') return table;
  if (node.kind === 'integer') return node.bigint;
  return node.value instanceof Date ? { unfit: 'a date' } : node.value;
};
