// Makes docs/cri.md from the descriptor and docs/cri.tsv. With --check it writes nothing and fails when the page is stale,
// when an RPC or a field has no row, or when a test that a row names is not there. Needs build/.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { printDocument } from '../build/critest/cri-doc/print.js';
import { documentFile, readRows, wrongRows } from '../build/critest/cri-doc/rows.js';
import { wrongTests } from '../build/critest/cri-doc/tests-named.js';

const target = join(dirname(fileURLToPath(import.meta.url)), '..', documentFile);
const rows = await readRows();
const text = printDocument(rows);
const problems = [...wrongRows(rows), ...(await wrongTests(rows))];
if (!process.argv.includes('--check')) writeFileSync(target, text);
else if (readFileSync(target, 'utf8') !== text)
  problems.push(`${documentFile} is not what docs/cri.tsv says: run bin/node scripts/cri-doc.mjs`);
for (const problem of problems) console.error(`cri-doc: ${problem}`);
if (problems.length > 0) process.exitCode = 1;
