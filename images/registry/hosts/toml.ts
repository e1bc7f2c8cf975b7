import { type AST, ParseError, parseTOML } from 'toml-eslint-parser';

/** What stands at a key. Dates, floats and tables in lists are `unfit`: no key takes them. */
export type Raw = string | boolean | bigint | readonly Raw[] | { readonly unfit: string };

/** A key by its parts, however it was written: `host."https://mirror"`, then `ca`. */
export interface Entry {
  readonly path: readonly string[];
  readonly line: number;
  readonly value: Raw;
}

/** `[host."https://mirror"]`, or a table in braces: where a table begins, also one without a key. */
export interface Header {
  readonly path: readonly string[];
  readonly line: number;
  readonly isList: boolean;
}

export interface Problem {
  readonly line: number | undefined;
  readonly text: string;
}

/** In the order of the file; a syntax error or a key that comes twice is its one problem. */
export interface Toml {
  readonly entries: readonly Entry[];
  readonly headers: readonly Header[];
  readonly problems: readonly Problem[];
}

/** Reads TOML 1.0. Not by names joined with dots, as the daemon's own configuration is: here keys are URLs. */
export const readToml = (text: string): Toml => {
  const entries: Entry[] = [];
  const headers: Header[] = [];
  try {
    const { body } = parseTOML(text.replace(/^\ufeff/, ''), { tomlVersion: '1.0' }).body[0];
    for (const item of body) {
      if (item.type === 'TOMLKeyValue') readPair(item, [], { entries, headers });
      else {
        const path = parts(item.key);
        headers.push({ path, line: item.loc.start.line, isList: item.kind === 'array' });
        for (const pair of item.body) readPair(pair, path, { entries, headers });
      }
    }
    return { entries, headers, problems: [] };
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    const text = `${error.message.charAt(0).toLowerCase()}${error.message.slice(1).replace(/\.$/, '')}`;
    return { entries: [], headers: [], problems: [{ line: error.lineNumber, text }] };
  }
};

const parts = ({ keys }: AST.TOMLKey): readonly string[] =>
  keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value));

const readPair = (
  { key, value, loc }: AST.TOMLKeyValue,
  above: readonly string[],
  into: { readonly entries: Entry[]; readonly headers: Header[] },
): void => {
  const path = [...above, ...parts(key)];
  const { line } = loc.start;
  if (value.type !== 'TOMLInlineTable') return void into.entries.push({ path, line, value: raw(value) });
  into.headers.push({ path, line, isList: false });
  for (const pair of value.body) readPair(pair, path, into);
};

const raw = (node: AST.TOMLContentNode): Raw => {
  if (node.type === 'TOMLArray') return node.elements.map(raw);
  if (node.type === 'TOMLInlineTable') return { unfit: 'a table' };
  if (node.kind === 'integer') return node.bigint;
  if (typeof node.value === 'string' || typeof node.value === 'boolean') return node.value;
  return { unfit: node.kind === 'float' ? 'a number with a point' : 'a date' };
};
