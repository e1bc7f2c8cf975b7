// Makes docs/cri.md from the descriptor and docs/cri.tsv; with --check it only says whether that was done, and fails when
// an RPC or a field has no row. Needs build/.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { printDocument } from '../build/critest/cri-doc/print.js';
import { documentFile, readRows, wrongRows } from '../build/critest/cri-doc/rows.js';

const target = join(dirname(fileURLToPath(import.meta.url)), '..', documentFile);
const rows = await readRows();
const text = printDocument(rows);
const wrong = wrongRows(rows);
for (const problem of wrong) console.error(`cri-doc: ${problem}`);
if (!process.argv.includes('--check')) writeFileSync(target, text);
else if (readFileSync(target, 'utf8') !== text) {
  console.error(`cri-doc: ${documentFile} is not what docs/cri.tsv says: run scripts/cri-doc.mjs`);
  process.exitCode = 1;
}
if (wrong.some((problem) => !problem.endsWith('has no row'))) process.exitCode = 1;
