import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { orMissing } from '../../base/errors.ts';
import { sourceTree } from '../harness/tree.ts';
import type { NamedTest, Row } from './rows.ts';

/** A title as TypeScript can have it; one made by a template stands there with its `${…}`. */
const written = (title: string): readonly string[] =>
  [`'${title.replaceAll("'", "\\'")}'`, `"${title.replaceAll('"', '\\"')}"`, `\`${title}\``].map((text) => `(${text},`);

/** The source of the test: from its title to the end of the call. Undefined when it is not there. */
export const bodyOf = (source: string, title: string): string | undefined => {
  const squeezed = source.replace(/\(\n\s+(?=['"`])/g, '(');
  const at = Math.max(...written(title).map((text) => squeezed.indexOf(text)));
  if (at < 0) return undefined;
  const rest = squeezed.slice(at);
  const end = /\n {0,2}(?:test[.(]|\}\);?$)/m.exec(rest);
  return rest.slice(0, end?.index ?? rest.length);
};

const sourceOf = (() => {
  const known = new Map<string, Promise<string | undefined>>();
  return (file: string): Promise<string | undefined> => {
    const text = known.get(file) ?? orMissing(readFile(join(sourceTree, file), 'utf8'));
    known.set(file, text);
    return text;
  };
})();

const wrongTest = async (name: string, { file, title }: NamedTest): Promise<readonly string[]> => {
  const source = await sourceOf(file);
  if (source === undefined) return [`${name}: there is no file ${file}`];
  if (bodyOf(source, title) === undefined) return [`${name}: ${file} has no test › ${title}`];
  return [];
};

/** A test that shows what becomes of a field speaks of it somewhere in its file; one of a call that is not there need not. */
const unmentioned = async ({ name, text, tests }: Row): Promise<readonly string[]> => {
  const word = name.split('.')[1];
  if (word === undefined || text.includes('UNIMPLEMENTED')) return [];
  const sources = await Promise.all(tests.map(({ file }) => sourceOf(file)));
  const mentions = new RegExp(`\\b${word}\\b`);
  return sources.some((source) => mentions.test(source ?? '')) ? [] : [`${name}: no test of its row speaks of ${word}`];
};

/** Rows whose tests are not there, or cannot be about the field. */
export const wrongTests = async (rows: readonly Row[]): Promise<readonly string[]> => {
  const found = await Promise.all(
    rows.flatMap((row) => [...row.tests.map((test) => wrongTest(row.name, test)), unmentioned(row)]),
  );
  return found.flat();
};
