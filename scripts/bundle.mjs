// Joins each program's compiled modules, and the libraries that they use, into one file in build/bin: reading some five
// hundred modules one by one takes two thirds of a start. The single modules stay for the tests.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

await build({
  absWorkingDir: root,
  entryPoints: { berthd: 'build/cri/main.js', berth: 'build/cli/main.js' },
  outdir: 'build/bin',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  // Some of the libraries are CommonJS, and ask for Node's modules by require.
  banner: {
    js: "import { createRequire as berthRequire } from 'node:module';\nconst require = berthRequire(import.meta.url);",
  },
  // Stack traces name the functions as the source does.
  keepNames: false,
  minify: false,
  legalComments: 'inline',
  logLevel: 'warning',
});
