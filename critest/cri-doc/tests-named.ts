import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { orMissing } from '../../base/errors.ts';
import { sourceTree } from '../harness/tree.ts';
import type { NamedTest, Row } from './rows.ts';

/** A title as TypeScript can have it. */
const written = (title: string): readonly string[] =>
  [`'${title.replaceAll("'", "\\'")}'`, `"${title.replaceAll('"', '\\"')}"`, `\`${title}\``].map((text) => `(${text},`);

/** Whether the source has a test of this title; in it a `…` stands for what a template puts in. */
export const hasTest = (source: string, title: string): boolean => {
  const plain = source.replace(/\(\n\s+(?=['"`])/g, '(').replace(/\$\{[^}]*\}/g, '…');
  return written(title).some((text) => plain.includes(text));
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
  if (!hasTest(source, title)) return [`${name}: ${file} has no test › ${title}`];
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
