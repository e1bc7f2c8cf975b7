import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';

const root = join(import.meta.dirname, '../..');
const json = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'));
const parts = (version: string): readonly number[] => version.split('.').map(Number);
const isAtLeast = (version: string, fixed: string): boolean => {
  const [have, want] = [parts(version), parts(fixed)];
  const at = have.findIndex((part, i) => part !== want[i]);
  return at < 0 || (have[at] ?? 0) > (want[at] ?? 0);
};

/** The first release with the mend, as the advisories name it. */
const mended = [
  ['grpc-js 2024-37168', '@grpc/grpc-js', '1.10.9'],
  ['protobufjs 2026-41242', 'protobufjs', '7.5.5'],
  ['protobufjs 2026-44289, 2026-44291', 'protobufjs', '7.5.6'],
] as const;

const { packages } = json('package-lock.json') as { packages: Record<string, { version: string }> };
const { dependencies, devDependencies } = json('package.json') as Record<string, Record<string, string>>;

for (const [row, name, fixed] of mended)
  test(`${row}: every copy of ${name} is pinned at or above ${fixed}, in the lockfile and on the disk`, (t) => {
    const copies = Object.entries(packages).filter(([path]) => path.endsWith(`node_modules/${name}`));
    t.true(copies.length > 0);
    for (const [path, { version }] of copies) {
      t.regex(version, /^\d+\.\d+\.\d+$/);
      t.true(isAtLeast(version, fixed), `${path} ${version}`);
      t.is((json(`${path}/package.json`) as { version: string }).version, version);
    }
    t.is({ ...dependencies, ...devDependencies }[name], packages[`node_modules/${name}`]?.version);
  });

test('a version below the mend, however it is written, is not at or above it', (t) => {
  for (const below of ['1.10.8', '1.9.99', '0.99.0']) t.false(isAtLeast(below, '1.10.9'), below);
  for (const above of ['1.10.9', '1.10.10', '1.11.0', '2.0.0']) t.true(isAtLeast(above, '1.10.9'), above);
});
