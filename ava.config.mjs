import { readFileSync } from 'node:fs';

// Root tests share the machine (namespaces, cgroups), so one file at a time. In the second machine (critest/vm/run sets
// BERTH_VM) the tree is read-only, and what runs is critest/vm/all.test.ts but for critest/vm/left-out.tsv.
const inMachine = process.env.BERTH_VM === '1';

const leftOut = () =>
  readFileSync(new URL('critest/vm/left-out.tsv', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split('\t')[1])
    .filter((title) => title !== '*')
    .map((title) => `!${title.replaceAll('*', '\\*').replaceAll('…', '*')}`);

export default {
  files: inMachine
    ? ['build/critest/vm/**/*.test.js', 'build/cri/cgroup/kernel.test.js']
    : ['build/**/*.test.js', '!build/critest/vm/**', '!build/**/*.long.test.js'],
  ...(inMachine ? { match: ['*', ...leftOut()] } : {}),
  cache: !inMachine,
  concurrency: 1,
  serial: true,
  workerThreads: false,
  timeout: `${2 * Number(process.env.BERTH_SLOW ?? 1)}m`,
};
