// Builds all of it: api types, TypeScript, the native programs, the quickstart's image.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const node = join(root, 'bin/node');
const steps = [
  ['api types', node, ['scripts/generate.mjs']],
  ['typescript', node, ['node_modules/typescript/bin/tsc', '-p', '.']],
  ['programs', node, ['scripts/bundle.mjs']],
  ['native', node, ['scripts/native.mjs']],
  ['quickstart image', node, ['scripts/quickstart-image.mjs']],
  ['docs/cri.md', node, ['scripts/cri-doc.mjs', '--check']],
  ['docs', node, ['scripts/docs.mjs', '--check']],
];

for (const [name, command, args] of steps) {
  const script = args[0];
  if (!existsSync(join(root, script))) {
    console.error(`build: ${name}: ${script} is missing`);
    process.exit(1);
  }
  const started = performance.now();
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.error(`build: ${name} failed (${error?.message ?? signal ?? status})`);
    process.exit(1);
  }
  console.log(`build: ${name} ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
