import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { hasTest } from './cri-doc/tests-named.ts';
import { sourceTree } from './harness/tree.ts';

const source = (path: string): Promise<string> => readFile(join(sourceTree, path), 'utf8');

interface LeftOut {
  readonly file: string;
  /** `*`: the whole file. */
  readonly title: string;
  readonly reason: string;
}

const leftOut = (text: string): readonly LeftOut[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [file = '', title = '', reason = ''] = line.split('\t');
      return { file, title, reason };
    });

/** Files whose tests run in the second machine, too: those that its own list imports, and the twins of its own files. */
const shared = async (): Promise<ReadonlySet<string>> => {
  const list = await source('critest/vm/tests/pods.test.ts');
  const imported = [...list.matchAll(/import '\.\.\/\.\.\/(.+)';/g)].map(([, path]) => `critest/${path}`);
  // Their bodies are in critest/harness/, and each machine's file says which controllers it has.
  const twins = ['devices', 'resources', 'cgroup-parents'].map((name) => `critest/${name}.test.ts`);
  return new Set([...imported, ...twins]);
};

const rootTests = async (): Promise<readonly string[]> => {
  const found = await Promise.all(['critest', 'critest/cri'].map((path) => readdir(join(sourceTree, path))));
  const paths = found.flatMap((names, index) =>
    names.map((name) => join(index === 0 ? 'critest' : 'critest/cri', name)),
  );
  return paths.filter((path) => path.endsWith('.test.ts') && !path.endsWith('.long.test.ts'));
};

/** Whether its tests start pods, and could there: that machine has no registry. */
const couldRun = async (file: string): Promise<boolean> => {
  const text = await source(file);
  return /\brunPod\(/.test(text) && !/registry\.ts'/.test(text);
};

test('each file whose tests start pods runs in the second machine, too, or critest/vm/left-out.tsv says why not', async (t) => {
  const [run, files, out] = await Promise.all([shared(), rootTests(), source('critest/vm/left-out.tsv').then(leftOut)]);
  const whole = new Set(out.filter(({ title }) => title === '*').map(({ file }) => file));
  for (const file of files)
    if (!run.has(file) && !whole.has(file)) t.false(await couldRun(file), `${file} is neither run nor left out`);
  t.deepEqual(
    [...run].filter((file) => whole.has(file)),
    [],
    'run and left out',
  );
  t.deepEqual(
    [...run, ...whole].filter((file) => !files.includes(file)),
    [],
    'no such file',
  );
});

test('all.test.ts or systemd.test.ts has each file of the second machine’s own', async (t) => {
  const all = (await Promise.all(['all', 'systemd'].map((name) => source(`critest/vm/${name}.test.ts`)))).join('\n');
  const files = (await readdir(join(sourceTree, 'critest/vm/tests'))).filter((name) => name.endsWith('.test.ts'));
  t.deepEqual(
    files.filter((name) => !all.includes(`import './tests/${name}';`)),
    [],
  );
});

test('what is left out in the second machine is a test of a file that runs there, and has a reason', async (t) => {
  const [run, out] = await Promise.all([shared(), source('critest/vm/left-out.tsv').then(leftOut)]);
  t.true(out.length > 0);
  for (const { file, title, reason } of out) {
    t.regex(reason, /\w+ \w+/, `${file}: ${title}`);
    if (title === '*') continue;
    t.true(run.has(file), file);
    t.true(hasTest(await source(file), title), `${file} has no test › ${title}`);
  }
});
