import { readFile } from 'node:fs/promises';
import test from 'ava';
import { BerthError } from '../../base/errors.ts';
import { LaterFormat } from '../../base/files.ts';
import { checkContainerRecord, checkSandboxRecord } from './check.ts';

type Fields = Readonly<Record<string, unknown>>;

const { files } = JSON.parse(await readFile('critest/fixtures/release-0.1.json', 'utf8')) as {
  readonly files: Readonly<Record<string, { readonly text: string }>>;
};

const recordIn = (directory: string): Fields => {
  const [, file] = Object.entries(files).find(([path]) => path.startsWith(`root/state/${directory}/`)) ?? [];
  return JSON.parse(file?.text ?? 'null') as Fields;
};

for (const [directory, check] of [
  ['sandboxes', checkSandboxRecord],
  ['containers', checkContainerRecord],
] as const) {
  const record = recordIn(directory);
  const fault = (change: Fields): unknown => {
    try {
      check({ ...record, ...change });
      return undefined;
    } catch (error) {
      return error;
    }
  };

  test(`${directory}: a whole record is taken as it is, with fields that nobody knows`, (t) => {
    t.deepEqual(check({ ...record, ofNext: [1] }) as unknown, { ...record, ofNext: [1] });
  });

  test(`${directory}: a later format is told from a broken one, and read where it says that it can be`, (t) => {
    t.true(fault({ version: 2 }) instanceof LaterFormat);
    t.true(fault({ version: 3, compatible: 2 }) instanceof LaterFormat);
    t.is(fault({ version: 2, compatible: 1 }), undefined);
    for (const version of [0, -1, '1', 1.5, null, undefined]) {
      const error = fault({ version });
      t.true(
        error instanceof BerthError && error.code === 'data-loss' && !(error instanceof LaterFormat),
        `${version}`,
      );
    }
  });

  test(`${directory}: a request in it that cannot be read makes it a broken record, and does not stop the start`, (t) => {
    for (const config of [undefined, 5, [], { metadata: 5 }, { annotations: { a: 1 } }])
      t.like(fault({ config }), { code: 'data-loss', message: 'config is missing or not what this berthd knows' });
  });
}
