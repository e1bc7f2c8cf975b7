import { dirname } from 'node:path';
import { BerthError, messageOf } from '../../../base/errors.ts';
import { redacted } from '../redact.ts';
import { type Draft, type HostTable, plainTable, readers } from './table.ts';
import { type Entry, type Header, type Problem, readToml } from './toml.ts';
import { baseOf, headerOf, textOf } from './values.ts';

export interface HostsFile {
  /** In the order in which they are asked; the registry itself is the last. */
  readonly hosts: readonly HostTable[];
  /** Keys that mean nothing to us: containerd takes no offence at them either. */
  readonly warnings: readonly string[];
}

/**
 * Reads hosts.toml as containerd's users write it (containerd, docs/hosts.md). Throws failed-precondition that names file,
 * line and key of all that is wrong.
 */
export const parseHostsFile = (text: string, path: string): HostsFile => {
  const toml = readToml(text);
  const reading = new Reading(path, toml.entries, [...toml.problems]);
  const hosts = [...hostUrls(toml.entries, toml.headers)].map(([url, line]) => reading.host(url, line));
  const registry = reading.registry();
  for (const { path: header, line, isList } of toml.headers) reading.checkTable(header, line, isList);
  const { problems } = reading;
  if (problems.length > 0) throw wrongFile(problems.map((problem) => place(path, problem)));
  return { hosts: [...hosts, registry], warnings: reading.warnings.map((problem) => place(path, problem)) };
};

const mostProblems = 5;

const wrongFile = (problems: readonly string[]): BerthError => {
  const more = problems.length > mostProblems ? [`and ${problems.length - mostProblems} more`] : [];
  return new BerthError('failed-precondition', [...problems.slice(0, mostProblems), ...more].join('; '));
};

const place = (path: string, { line, text }: Problem): string =>
  `${path}${line === undefined ? '' : `:${line}`}: ${text}`;

/** Every URL that a table or a dotted key speaks of, in the order of the file, with the line. */
const hostUrls = (entries: readonly Entry[], headers: readonly Header[]): ReadonlyMap<string, number> => {
  const urls = new Map<string, number>();
  const all = [...headers, ...entries].toSorted((one, other) => one.line - other.line);
  for (const { path, line } of all) {
    const [first, url] = path;
    if (first === 'host' && url !== undefined && !urls.has(url)) urls.set(url, line);
  }
  return urls;
};

const keyName = (path: readonly string[]): string =>
  path.map((part) => (/^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(redacted(part)))).join('.');

const isServer = (path: readonly string[]): boolean => path.length === 1 && path[0] === 'server';
const tables: readonly string[] = ['host', 'header'];

class Reading {
  readonly problems: Problem[];
  readonly warnings: Problem[] = [];
  readonly #path: string;
  readonly #entries: readonly Entry[];

  constructor(path: string, entries: readonly Entry[], problems: Problem[]) {
    this.#path = path;
    this.#entries = entries;
    this.problems = problems;
  }

  host(url: string, line: number): HostTable {
    const draft: Draft = { ...plainTable };
    const path = ['host', url];
    this.#keys(draft, path);
    this.#attempt(line, path, () => {
      draft.base = baseOf(url, this.#overridesPath(path));
    });
    return draft;
  }

  registry(): HostTable {
    const draft: Draft = { ...plainTable };
    this.#keys(draft, []);
    for (const { path, line, value } of this.#entries.filter((entry) => isServer(entry.path)))
      this.#attempt(line, path, () => {
        const text = textOf(value, 'a URL');
        if (text !== '') draft.base = baseOf(text, this.#overridesPath([]));
      });
    return draft;
  }

  #overridesPath(above: readonly string[]): boolean {
    const entry = this.#entries.find(({ path }) => keyName(path) === keyName([...above, 'override_path']));
    return entry?.value === true;
  }

  /** The keys of one table: those of `above` and of its `header`. */
  #keys(draft: Draft, above: readonly string[]): void {
    const headers: Record<string, readonly string[]> = {};
    for (const { path, line, value } of this.#entries) {
      if (!above.every((part, at) => path[at] === part)) continue;
      const [key, name, ...deeper] = path.slice(above.length);
      if (above.length === 0 && (isServer(path) || (key === 'host' && name !== undefined))) continue;
      if (key === 'header' && name !== undefined && deeper.length === 0)
        this.#attempt(line, path, () => {
          headers[name] = headerOf(name, value);
        });
      else if (name === undefined && (key === undefined || tables.includes(key)))
        this.problems.push({ line, text: `${keyName(path)}: is a table: write [${keyName(path)}]` });
      else if (name === undefined && key !== undefined && Object.hasOwn(readers, key))
        this.#attempt(line, path, () => readers[key]?.(draft, value, this.#where(line, path), dirname(this.#path)));
      else if (key !== undefined && Object.hasOwn(readers, key))
        this.problems.push({ line, text: `${keyName(path)}: ${key} is no table` });
      else this.warnings.push({ line, text: `${keyName(path)}: unknown key, not used` });
    }
    draft.headers = headers;
  }

  #where(line: number, path: readonly string[]): string {
    return place(this.#path, { line, text: keyName(path) });
  }

  #attempt(line: number, path: readonly string[], action: () => void): void {
    try {
      action();
    } catch (error) {
      this.problems.push({ line, text: `${keyName(path)}: ${messageOf(error)}` });
    }
  }

  /** A table that holds no host would be passed over, and its mirror with it. */
  checkTable(path: readonly string[], line: number, isList: boolean): void {
    const [first, url, third] = path;
    const name = keyName(path);
    if (isList) this.problems.push({ line, text: `${name}: [[…]] makes a list of tables: write [${name}]` });
    else if (first === 'host' && path.length > 2 && (third !== 'header' || path.length > 3))
      this.problems.push({ line, text: `${name}: no table of a host but its header; URLs need quotes: [host."URL"]` });
    else if (first !== 'host' && !(first === 'header' && url === undefined))
      this.warnings.push({ line, text: `${name}: unknown table, not used` });
  }
}
