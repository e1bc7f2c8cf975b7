import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sourceTree } from '../harness/tree.ts';
import { reachable, rpcs } from './wire.ts';

/** A test by its file, from the project's root, and its title. */
export interface NamedTest {
  readonly file: string;
  readonly title: string;
}

/** One line of docs/cri.tsv: an RPC (`RPC Name`) or a field (`Message.field`), what Berth does with it, and what shows it. */
export interface Row {
  readonly name: string;
  readonly text: string;
  readonly tests: readonly NamedTest[];
}

export const dataFile = 'docs/cri.tsv';
export const documentFile = 'docs/cri.md';

const parseTest = (text: string): NamedTest => {
  const [file = '', ...title] = text.split(' › ');
  return { file, title: title.join(' › ') };
};

const parseRow = (line: string): Row => {
  const [name = '', text = '', ...tests] = line.split('\t');
  return { name, text, tests: tests.map(parseTest) };
};

/** Empty lines and those that begin with `#` are for the reader of the file. */
export const parseRows = (text: string): readonly Row[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(parseRow);

export const readRows = async (): Promise<readonly Row[]> =>
  parseRows(await readFile(join(sourceTree, dataFile), 'utf8'));

/** What must have a row: every RPC, every field that can come or go with one. */
export const wantedNames = (): readonly string[] => [
  ...rpcs.map(({ name }) => `RPC ${name}`),
  ...reachable(rpcs).flatMap(({ fields }) => fields.map(({ path }) => path)),
];

/** Rows that are missing, that name nothing, or that are there twice; each as a line for the one who has to write them. */
export const wrongRows = (rows: readonly Row[], wanted: readonly string[] = wantedNames()): readonly string[] => {
  const known = new Set(wanted);
  const there = new Map(rows.map((row) => [row.name, row]));
  const twice = rows.filter((row) => there.get(row.name) !== row);
  return [
    ...wanted.filter((name) => !there.has(name)).map((name) => `${name} has no row`),
    ...rows.filter(({ name }) => !known.has(name)).map(({ name }) => `${name} is nothing of CRI v1`),
    ...twice.map(({ name }) => `${name} has two rows`),
    ...rows.flatMap(wrongText),
  ];
};

const wrongText = ({ name, text, tests }: Row): readonly string[] => [
  ...(text === '' ? [`${name} does not say what Berth does`] : []),
  ...(/ignored/i.test(text) && !/windows/i.test(name) ? [`${name} is ignored: only Windows fields may be`] : []),
  ...(tests.length === 0 ? [`${name} names no test`] : []),
  ...(tests.some(({ file }) => !file.startsWith('critest/')) ? [`${name} is shown by a test that asks no daemon`] : []),
];
