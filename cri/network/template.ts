import { BerthError } from '../../base/errors.ts';

type Item = string | number | readonly string[];

/** What a template may name: as containerd's users know it. */
export interface TemplateData {
  /** The first of the ranges. */
  readonly PodCIDR: string;
  readonly PodCIDRRanges: readonly string[];
  /** The default route of each family that has a range. */
  readonly Routes: readonly string[];
}

interface Token {
  readonly text: string;
  /** Undefined for text between the braces. */
  readonly line: number | undefined;
}

interface Scope {
  readonly dot: Item | TemplateData;
  readonly variables: Readonly<Record<string, Item>>;
}

type Part = (scope: Scope) => string;

/** Deeper nesting than anybody writes; a template must not overflow the stack. */
const mostNested = 32;

/**
 * Renders the part of Go's text/template that templates of CNI configurations use: values (`{{.PodCIDR}}`, `{{$x}}`, `{{.}}`),
 * `range` with and without variables, `if`, `else`, `end`, comments and `{{-`, `-}}`. All else is refused with its line
 * (failed-precondition): what a template means must not be guessed.
 */
export const renderTemplate = (template: string, source: string, data: TemplateData): string => {
  const parser = new Parser(tokens(template), source, data);
  return parser.all()({ dot: data, variables: {} });
};

const tokens = (template: string): readonly Token[] => {
  const found: Token[] = [];
  let at = 0;
  for (const match of template.matchAll(/\{\{(-(?=\s))?\s*(\/\*[\s\S]*?\*\/|[\s\S]*?)\s*((?<=\s)-)?\}\}/g)) {
    const [whole, trimBefore, action = '', trimAfter] = match;
    found.push({ text: template.slice(at, match.index), line: undefined });
    const line = template.slice(0, match.index).split('\n').length;
    if (trimBefore !== undefined) trimLast(found, (text) => text.trimEnd());
    found.push({ text: action, line });
    at = match.index + whole.length;
    if (trimAfter !== undefined) at += (/^\s*/.exec(template.slice(at))?.[0] ?? '').length;
  }
  return [...found, { text: template.slice(at), line: undefined }];
};

const trimLast = (found: Token[], trim: (text: string) => string): void => {
  const last = found.pop();
  if (last !== undefined) found.push({ ...last, text: trim(last.text) });
};

const isTrue = (item: Item): boolean => (typeof item === 'object' ? item.length > 0 : item !== 0 && item !== '');

class Parser {
  readonly #tokens: readonly Token[];
  readonly #source: string;
  readonly #data: TemplateData;
  #at = 0;
  #depth = 0;

  constructor(found: readonly Token[], source: string, data: TemplateData) {
    this.#tokens = found;
    this.#source = source;
    this.#data = data;
  }

  all(): Part {
    const { part, end } = this.#until([]);
    if (end !== undefined) throw this.#wrong(end, 'ends nothing');
    return part;
  }

  /** The parts up to one of these words, which is given back; undefined at the end of the file. */
  #until(words: readonly string[]): { readonly part: Part; readonly end: Token | undefined } {
    const parts: Part[] = [];
    const part: Part = (scope) => parts.map((one) => one(scope)).join('');
    for (let token = this.#next(); token !== undefined; token = this.#next()) {
      const { text } = token;
      if (token.line === undefined) parts.push(() => text);
      else if (words.includes(text) || text === 'end' || text === 'else') return { part, end: token };
      else parts.push(this.#action(token));
    }
    return { part, end: undefined };
  }

  #next(): Token | undefined {
    const token = this.#tokens[this.#at];
    this.#at += 1;
    return token;
  }

  #action(token: Token): Part {
    const { text } = token;
    if (/^\/\*[\s\S]*\*\/$/.test(text)) return () => '';
    const range = /^range\s+(?:(?:(\$\w+)\s*,\s*)?(\$\w+)\s*:=\s*)?(\S+)$/.exec(text);
    if (range !== null) return this.#range(token, range[1], range[2], range[3] ?? '');
    const condition = /^if\s+(\S+)$/.exec(text)?.[1];
    if (condition !== undefined) return this.#if(token, condition);
    return (scope) => {
      const item = this.#item(token, text, scope);
      if (typeof item === 'object') throw this.#wrong(token, 'is a list: write range');
      return String(item);
    };
  }

  #if(token: Token, condition: string): Part {
    const [then, otherwise] = this.#blocks(token);
    return (scope) => (isTrue(this.#item(token, condition, scope)) ? then(scope) : otherwise(scope));
  }

  #range(token: Token, index: string | undefined, value: string | undefined, list: string): Part {
    const [each, otherwise] = this.#blocks(token);
    return (scope) => {
      const items = this.#item(token, list, scope);
      if (typeof items !== 'object') throw this.#wrong(token, 'is no list');
      if (items.length === 0) return otherwise(scope);
      const named = (item: string, at: number) => ({
        ...(index === undefined ? {} : { [index]: at }),
        ...(value === undefined ? {} : { [value]: item }),
      });
      return items
        .map((item, at) => each({ dot: item, variables: { ...scope.variables, ...named(item, at) } }))
        .join('');
    };
  }

  /** What stands up to `end`, and what stands behind an `else`. */
  #blocks(token: Token): readonly [Part, Part] {
    this.#depth += 1;
    if (this.#depth > mostNested) throw this.#wrong(token, `is nested more than ${mostNested} deep`);
    const first = this.#until(['else', 'end']);
    const second = first.end?.text === 'else' ? this.#until(['end']) : { part: () => '', end: first.end };
    if (second.end?.text !== 'end') throw this.#wrong(token, 'has no end');
    this.#depth -= 1;
    return [first.part, second.part];
  }

  #item(token: Token, text: string, { dot, variables }: Scope): Item {
    if (Object.hasOwn(variables, text)) return variables[text] ?? '';
    if (text === '.' && (typeof dot !== 'object' || !('PodCIDR' in dot))) return dot;
    const name = /^(\$?)\.(PodCIDR|PodCIDRRanges|Routes)$/.exec(text);
    if (name !== null && (name[1] === '$' || dot === this.#data)) return this.#data[name[2] as keyof TemplateData];
    throw this.#wrong(token, 'is not known here: there are .PodCIDR, .PodCIDRRanges, .Routes, range, if, else and end');
  }

  #wrong(token: Token, what: string): BerthError {
    const action = `{{${token.text.slice(0, 80)}}}`;
    return new BerthError('failed-precondition', `${this.#source}:${token.line}: ${action} ${what}`);
  }
}
