// Makes what is told of the configuration and the commands from what the programs themselves know of them: docs/configuration.md, docs/metrics.md, docs/resources.md
// (in git; with --check nothing is written there, and a stale page is an error) and the manual pages in build/man. Needs build/.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reference } from './docs/configuration.mjs';
import { berth, berthd, berthToml } from './docs/manual.mjs';
import { metricsPage } from './docs/metrics.mjs';
import { resourcesPage } from './docs/resources.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const isCheck = process.argv.includes('--check');

const pages = {
  'docs/configuration.md': reference(),
  'docs/metrics.md': metricsPage(),
  'docs/resources.md': resourcesPage(),
};
for (const [path, text] of Object.entries(pages)) {
  const page = join(root, path);
  if (!isCheck) writeFileSync(page, text);
  else if (!existsSync(page) || readFileSync(page, 'utf8') !== text) {
    console.error(`docs: ${path} is not what the sources say: run bin/node scripts/docs.mjs`);
    process.exitCode = 1;
  }
}

mkdirSync(join(root, 'build/man'), { recursive: true });
for (const [name, manual] of Object.entries({ 'berthd.8': berthd(), 'berth.1': berth(), 'berth.toml.5': berthToml() }))
  writeFileSync(join(root, 'build/man', name), manual);
