import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import test from 'ava';
import { sourceTree } from './harness/tree.ts';

/** Which rooms a room may import. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  base: [],
  api: ['base'],
  images: ['base'],
  shim: ['base'],
  cri: ['base', 'api', 'images', 'shim'],
  cli: ['base', 'api'],
  critest: ['base', 'api'],
  bench: ['base', 'api', 'critest'],
};
const daemonRooms = ['base', 'api', 'images', 'shim', 'cri'];

interface Source {
  /** From the project's root: `cri/main.ts`. */
  readonly path: string;
  readonly text: string;
}

const sourcesOf = async (rooms: readonly string[]): Promise<Source[]> => {
  const found = await Promise.all(
    rooms.map(async (room) => {
      const names = await readdir(join(sourceTree, room), { recursive: true });
      return names.filter((name) => name.endsWith('.ts')).map((name) => join(room, name));
    }),
  );
  return Promise.all(
    found.flat().map(async (path) => ({ path, text: await readFile(join(sourceTree, path), 'utf8') })),
  );
};

const importPattern = /^\s*(?:import|export)\b[^'";]*?from\s+'([^']+)'|^\s*import\s+'([^']+)'|\bimport\(\s*'([^']+)'/gm;

const importsOf = ({ text }: Source): string[] =>
  [...text.matchAll(importPattern)].map(([, a, b, c]) => a ?? b ?? c ?? '');

const roomOf = (path: string): string => path.split('/')[0] ?? '';

/** Imports of a source that leave its room, as paths from the project's root. */
const foreignImports = (source: Source): string[] =>
  importsOf(source)
    .filter((name) => name.startsWith('.'))
    .map((name) => relative(sourceTree, join(sourceTree, dirname(source.path), name)))
    .filter((target) => roomOf(target) !== roomOf(source.path));

/** Root tests of one room stand in critest/<room>/ and may import that room, nothing else does. */
const ownRoom = (path: string): string => /^critest\/(\w+)\//.exec(path)?.[1] ?? '';

const wrongArrows = (source: Source): string[] =>
  foreignImports(source)
    .filter((target) => ![...(arrows[roomOf(source.path)] ?? []), ownRoom(source.path)].includes(roomOf(target)))
    .map((target) => `${source.path} imports ${target}`);

test('imports run only the way of the house: no room imports what it may not', async (t) => {
  const sources = await sourcesOf(Object.keys(arrows));
  t.true(sources.length > 100);
  t.deepEqual(sources.flatMap(wrongArrows), []);
});

test('the import walk sees static, type, side-effect and dynamic imports', (t) => {
  const source = {
    path: 'base/x.ts',
    text: [
      `${'import'} { a } from '../api/a.ts';`,
      `${'import'} type {\n  B,\n} from '../cri/b.ts';`,
      `${'import'} '../cli/c.ts';`,
      `${'export'} { d } from '../shim/d.ts';`,
      `const e = await ${'import'}('../images/e.ts');`,
      `${'import'} { f } from './f.ts';`,
    ].join('\n'),
  };
  t.deepEqual(wrongArrows(source).length, 5);
});

test('base/ has six files at most', async (t) => {
  const files = (await sourcesOf(['base'])).filter(({ path }) => !path.endsWith('.test.ts'));
  t.true(files.length <= 6, files.map(({ path }) => path).join(' '));
});

const mutating =
  /^(?:appendFile|chmod|chown|copyFile|cp|createWriteStream|fchmod|fchown|ftruncate|futimes|lchmod|lchown|link|lutimes|mkdir|mkdtemp|rename|rm|rmdir|symlink|truncate|unlink|utimes|write|writeFile|writev)(?:Sync)?$/;
const fsImport = /import\s+([^;]*?)\s+from\s+'(?:node:)?fs(?:\/promises)?'/g;
const writingOpen = /\bO_(?:WRONLY|RDWR|CREAT|TRUNC|APPEND)\b|\bopen(?:Sync)?\([^)]*,\s*'(?:[wa]|r\+)/;

/** The files through which the daemon changes the file system; each of their functions goes through `step`. */
const writers = ['base/files.ts', 'base/step.ts', 'images/blobs/writer.ts'];

const sideEffects = ({ path, text }: Source): string[] => {
  const clauses = [...text.matchAll(fsImport)].map(([, clause = '']) => clause);
  const whole = clauses
    .filter((clause) => !clause.includes('{'))
    .map((clause) => `${path} imports all of fs: ${clause}`);
  const names = clauses.flatMap((clause) => clause.match(/\w+/g) ?? []).filter((name) => mutating.test(name));
  const opens = clauses.length > 0 && writingOpen.test(text) ? [`${path} opens for writing`] : [];
  return [...whole, ...names.map((name) => `${path} imports ${name}`), ...opens];
};

const isProduct = ({ path }: Source): boolean => !path.endsWith('.test.ts') && !path.includes('/testing/');

test("the daemon changes the file system through base/files.ts and the blobs' writer alone", async (t) => {
  const sources = (await sourcesOf(daemonRooms)).filter(
    (source) => isProduct(source) && !writers.includes(source.path),
  );
  t.deepEqual(sources.flatMap(sideEffects), []);
});

test('the lint of side effects sees named, renamed, whole and opening imports', (t) => {
  const found = (text: string): number => sideEffects({ path: 'cri/x.ts', text }).length;
  t.is(found("import { readFile, stat } from 'node:fs/promises';"), 0);
  t.is(found("import { rm as drop, readFile } from 'node:fs/promises';"), 1);
  t.is(found("import * as fs from 'node:fs';"), 1);
  t.is(found("import { open } from 'node:fs/promises';\nopen(p, constants.O_RDONLY)"), 0);
  t.is(found("import { open } from 'node:fs/promises';\nopen(p, constants.O_CREAT)"), 1);
  t.is(found("import { open } from 'node:fs/promises';\nopen(p, 'w')"), 1);
});

test('the daemon forks nowhere but where the spawn agent is started', async (t) => {
  const sources = (await sourcesOf(daemonRooms)).filter(isProduct);
  const spawning = sources.filter(({ text }) => /from 'node:(?:child_process|cluster|worker_threads)'/.test(text));
  t.deepEqual(
    spawning.map(({ path }) => path),
    ['shim/connection.ts'],
  );
});

test('CommonJS require and process.exit are nowhere in the daemon', async (t) => {
  const sources = (await sourcesOf(daemonRooms)).filter(isProduct);
  const bad = sources.filter(({ text }) => /\bcreateRequire\b|\brequire\(|\bprocess\.exit\(/.test(text));
  t.deepEqual(
    bad.map(({ path }) => path),
    [],
  );
});
