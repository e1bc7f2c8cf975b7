import { type BerthError, invalid } from '../../base/errors.ts';

export type Yaml = string | null | readonly Yaml[] | { readonly [key: string]: Yaml };

interface Line {
  readonly number: number;
  readonly indent: number;
  readonly text: string;
}

const deepest = 16;

/**
 * The part of YAML that configuration files of Kubernetes are written in: mappings and lists by indentation, scalars on
 * one line, plain or quoted, `[]` and `{}` on one line of such scalars, comments. All scalars are text. What it does not
 * know (anchors, tags, block scalars, several documents) is refused with its line, never guessed.
 */
export const parseYaml = (text: string, what: string): Yaml => new Reader(linesOf(text, what), what).document();

const linesOf = (text: string, what: string): readonly Line[] => {
  const lines = text.split(/\r?\n/).map((line, at) => ({
    number: at + 1,
    indent: line.length - line.trimStart().length,
    text: withoutComment(line).trim(),
  }));
  const tab = text.split('\n').findIndex((line) => /^ *\t/.test(line));
  if (tab >= 0) throw invalid(`${what}: line ${tab + 1} is indented by a tab`);
  const filled = lines.filter(({ text: content }) => content !== '');
  return filled[0]?.text === '---' ? filled.slice(1) : filled;
};

/** A `#` begins a comment at the start of a line or behind a space, outside of quotes. */
const withoutComment = (line: string): string => {
  let quote = '';
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at] ?? '';
    if (quote === '"' && char === '\\') at += 1;
    else if (quote !== '') quote = char === quote ? '' : quote;
    else if (/["']/.test(char) && /^$|[\s,[{:]$/.test(line.slice(0, at))) quote = char;
    else if (char === '#' && /^$|\s$/.test(line.slice(0, at))) return line.slice(0, at);
  }
  return line;
};

const keyPattern = /^("(?:[^"\\]|\\.)*"|'[^']*'|[\w./$-][^\s:#"'{}[\],&*!|>%@`]*)\s*:(?:\s+(.*))?$/;
const isItem = (text: string): boolean => text === '-' || text.startsWith('- ');

class Reader {
  readonly #what: string;
  #lines: Line[];

  constructor(lines: readonly Line[], what: string) {
    this.#lines = [...lines];
    this.#what = what;
  }

  document(): Yaml {
    const [first] = this.#lines;
    if (first === undefined) return null;
    const value = this.#block(first.indent, 0);
    const [left] = this.#lines;
    if (left !== undefined) throw this.#wrong(left, 'is indented as nothing around it');
    return value;
  }

  #wrong({ number }: Line, why: string): BerthError {
    return invalid(`${this.#what}: line ${number} ${why}`);
  }

  #block(indent: number, depth: number): Yaml {
    const [first] = this.#lines;
    if (first === undefined) return null;
    if (depth > deepest) throw this.#wrong(first, 'is too deep');
    if (isItem(first.text)) return this.#list(indent, depth);
    return keyPattern.test(first.text) ? this.#mapping(indent, depth) : this.#single(first);
  }

  #single(line: Line): Yaml {
    this.#lines.shift();
    return this.#inline(line.text, line);
  }

  #list(indent: number, depth: number): Yaml {
    const items: Yaml[] = [];
    for (let line = this.#lines[0]; line?.indent === indent && isItem(line.text); line = this.#lines[0]) {
      const rest = line.text.slice(1).trimStart();
      // The item's own first line stands behind the dash, as deep as it is there.
      const own = { ...line, indent: indent + line.text.length - rest.length, text: rest };
      if (rest === '') this.#lines.shift();
      else this.#lines[0] = own;
      items.push(rest === '' ? this.#below(indent, depth) : this.#block(own.indent, depth + 1));
    }
    return items;
  }

  #mapping(indent: number, depth: number): Yaml {
    const entries = new Map<string, Yaml>();
    for (let line = this.#lines[0]; line?.indent === indent && !isItem(line.text); line = this.#lines[0]) {
      const match = keyPattern.exec(line.text);
      if (match === null) throw this.#wrong(line, 'is no "key: value"');
      const key = String(this.#inline(match[1] ?? '', line));
      if (entries.has(key)) throw this.#wrong(line, `has ${JSON.stringify(key)} a second time`);
      this.#lines.shift();
      entries.set(key, match[2] ? this.#inline(match[2], line) : this.#below(indent, depth, true));
    }
    return Object.fromEntries(entries);
  }

  /** What is deeper; a list may stand as deep as its key. */
  #below(indent: number, depth: number, mayList = false): Yaml {
    const [next] = this.#lines;
    if (next === undefined || next.indent < indent) return null;
    if (next.indent === indent && !(mayList && isItem(next.text))) return null;
    return this.#block(next.indent, depth + 1);
  }

  #inline(text: string, line: Line): Yaml {
    if (/^[[{]/.test(text)) return this.#flow(text, line);
    if (text.startsWith('"')) return this.#quoted(text, line);
    if (/^'(?:[^']|'')*'$/.test(text)) return text.slice(1, -1).replaceAll("''", "'");
    if (/^[&*!|>%@`'?]|^[-:,](?:\s|$)|:\s|:$/.test(text))
      throw this.#wrong(line, 'has what is not read here; write it as JSON');
    return ['null', '~', 'Null', 'NULL'].includes(text) ? null : text;
  }

  #quoted(text: string, line: Line): string {
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value === 'string') return value;
    } catch {
      // Said below, without what stands there.
    }
    throw this.#wrong(line, 'has a quoted text that is not JSON as well');
  }

  /** `[a, "b"]`, and `{}` alone. */
  #flow(text: string, line: Line): Yaml {
    if (/^\{\s*\}$/.test(text)) return {};
    const inner = /^\[([^[\]{}]*)\]$/.exec(text)?.[1];
    if (inner === undefined) throw this.#wrong(line, 'has what is not read here; write it as JSON');
    const parts = inner.match(/"(?:[^"\\]|\\.)*"|'[^']*'|[^,\s][^,]*/g) ?? [];
    if (parts.join(',').replaceAll(/\s/g, '') !== inner.replaceAll(/\s/g, '').replace(/,$/, ''))
      throw this.#wrong(line, 'has a list that is not read here; write it as JSON');
    return parts.map((part) => this.#inline(part.trim(), line));
  }
}
