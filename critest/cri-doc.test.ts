import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { printDocument } from './cri-doc/print.ts';
import { documentFile, parseRows, readRows, wantedNames, wrongRows } from './cri-doc/rows.ts';
import { hasTest, wrongTests } from './cri-doc/tests-named.ts';
import { sourceTree } from './harness/tree.ts';

test('docs/cri.tsv has one row for every RPC and every field of CRI v1, and no other', async (t) => {
  t.true(wantedNames().length > 500);
  t.deepEqual(wrongRows(await readRows()), []);
});

test('every test that docs/cri.tsv names is there, in a file that speaks of the field', async (t) => {
  t.deepEqual(await wrongTests(await readRows()), []);
});

test('docs/cri.md is what the descriptor and docs/cri.tsv say', async (t) => {
  t.is(await readFile(join(sourceTree, documentFile), 'utf8'), printDocument(await readRows()));
});

test('a missing, a foreign, a doubled and an empty row are told, and so is an ignored field', (t) => {
  const rows = parseRows(
    [
      '# a comment',
      'A.a\tDone.\tcritest/f › t',
      'A.a\tDone.\tcritest/f › t',
      'A.b\t\tcritest/f › t',
      'A.c\tIgnored.\tcritest/f › t',
      'A.x\tDone.',
      'A.y\tDone.\tf.ts › t',
    ].join('\n'),
  );
  t.deepEqual(wrongRows(rows, ['A.a', 'A.b', 'A.c', 'A.d', 'A.y']), [
    'A.d has no row',
    'A.x is nothing of CRI v1',
    'A.a has two rows',
    'A.b does not say what Berth does',
    'A.c is ignored: only Windows fields may be',
    'A.x names no test',
    'A.y is shown by a test that asks no daemon',
  ]);
});

test('a title is found as it is written: quoted, on a line of its own, as a template; another one is not', (t) => {
  const template = ['`two $', '{x}`'].join('');
  const source = `test('it\\'s one', (t) => {\n  t.is(a, 1);\n});\n\ntest(\n  ${template},\n  (t) => {\n    t.is(b, 2);\n  });\n`;
  for (const title of ["it's one", 'two …']) t.true(hasTest(source, title), title);
  for (const title of ['one', 'two', 'it']) t.false(hasTest(source, title), title);
});

test('a row whose test is nowhere, or whose test never speaks of the field, is told', async (t) => {
  const file = 'critest/cri-doc.test.ts';
  const title = 'docs/cri.md is what the descriptor and docs/cri.tsv say';
  const rows = parseRows(
    [`A.documentFile\tDone.\t${file} › ${title}`, `A.b\tDone.\t${file} › nothing`, `A.c\tDone.\tnowhere.ts › x`].join(
      '\n',
    ),
  );
  t.deepEqual(await wrongTests(rows.slice(0, 1)), []);
  t.deepEqual((await wrongTests(rows.slice(1))).length, 3);
});
