// npm test: lint, build, C tests, TypeScript tests, the second machine; prints `N passed, N failed` last.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { failuresOf } from './failures.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const node = join(root, 'bin/node');
const long = process.argv.includes('--long');
const total = { passed: 0, failed: 0 };
const slow = [];
/** What failed, by part, told again at the end. */
const failures = [];

/** Runs a command, shows its output as it comes (`later`: when it ends), and gives it back with the status. */
const run = (command, args, { env = {}, later = false } = {}) =>
  new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data) => {
        output += data;
        if (!later) process.stdout.write(data);
      });
    child.on('error', (error) => resolve({ status: 1, output: `${output}${error.message}` }));
    child.on('close', (status) => {
      if (later) process.stdout.write(output);
      resolve({ status: status ?? 1, output });
    });
  });

/** A part that counts as one check: lint, build. */
const check = async (name, command, args) => {
  const { status } = await run(command, args);
  total[status === 0 ? 'passed' : 'failed'] += 1;
  if (status !== 0) console.log(`FAILED: ${name}`);
  return status === 0;
};

/** A part whose output ends with `N passed, N failed`; a run without that line has failed. */
const counted = async (name, command, args, options) => {
  const { status, output } = await run(command, args, options);
  const last = [...output.matchAll(/(\d+) passed, (\d+) failed/g)].at(-1);
  const [passed, failed] = last === undefined ? [0, 1] : [Number(last[1]), Number(last[2])];
  add(name, passed, status !== 0 && failed === 0 ? 1 : failed, output);
};

const add = (name, passed, failed, output) => {
  total.passed += passed;
  total.failed += failed;
  if (failed > 0) failures.push(`\n${name}:`, ...failuresOf(output));
  console.log(`${name}: ${passed} passed, ${failed} failed`);
};

/** One after the other: each has a processor's worth of work. */
const machines = async (options) => {
  await counted('service', join(root, 'critest/vm/run'), ['--service'], options);
  await counted('machine', join(root, 'critest/vm/run'), [], options);
};

const milliseconds = (text) =>
  [...text.matchAll(/([\d.]+)(ms|m|s)/g)].reduce(
    (sum, [, n, unit]) => sum + Number(n) * { ms: 1, s: 1000, m: 60_000 }[unit],
    0,
  );

const ava = async (name, args, options) => {
  const { status, output } = await run(node, ['node_modules/ava/entrypoints/cli.js', ...args], {
    env: { NO_COLOR: '1', FORCE_COLOR: '0', CI: 'true' },
    ...options,
  });
  const passed = output.match(/^\s*✔ .*$/gm)?.filter((line) => !/exited successfully/.test(line)) ?? [];
  const failed = output.match(/^\s*✘ .*$/gm) ?? [];
  const skipped = output.match(/^\s*- .*$/gm)?.filter((line) => line.includes(' › ')) ?? [];
  for (const line of [...passed, ...failed]) {
    const time = /\(([\d.hms ]+)\)$/.exec(line.trim());
    if (time !== null) slow.push([milliseconds(time[1]), line.trim().slice(2)]);
  }
  if (skipped.length > 0) console.log(`FAILED: ${skipped.length} tests skipped`);
  const broken = status !== 0 && failed.length === 0 ? 1 : 0;
  const none = passed.length === 0 ? 1 : 0;
  add(name, passed.length, Math.max(failed.length, broken, none) + skipped.length, output);
};

const finish = () => {
  slow.sort(([a], [b]) => b - a);
  if (slow.length > 0) console.log('\nSlowest tests:');
  for (const [ms, title] of slow.slice(0, 10)) console.log(`${(ms / 1000).toFixed(1).padStart(7)} s  ${title}`);
  if (failures.length > 0) console.log(`\nFailed:${failures.join('\n')}`);
  if (total.passed === 0) total.failed += 1;
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  process.exitCode = total.failed === 0 ? 0 : 1;
};

await check('lint', node, ['node_modules/@biomejs/biome/bin/biome', 'ci', '--colors=off', '--error-on-warnings', '.']);
if (await check('build', node, ['scripts/build.mjs'])) {
  // The second machine has one CPU and a tree, network and cgroups of its own: it runs beside the rest, as what is
  // tested without root does.
  const later = { later: true };
  const beside = [
    machines(later),
    counted('c', node, ['scripts/native.mjs', '--test'], later),
    ava('unit', ['build/**/*.test.js', '!build/critest/**'], later),
  ];
  const ordinary = long ? [] : ['!build/**/*.long.test.js'];
  await ava('root', ['build/critest/**/*.test.js', '!build/critest/vm/**', ...ordinary]);
  await Promise.all(beside);
}
finish();
