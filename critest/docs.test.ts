import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { sourceTree } from './harness/tree.ts';

const run = promisify(execFile);

const manual = (page: string): Promise<string> => readFile(join(sourceTree, 'build/man', page), 'utf8');

const known = /^\.(TH|SH|SS|PP|TP|B|nf|fi)( |$)/;

for (const page of ['berthd.8', 'berth.1', 'berth.toml.5'])
  test(`man ${page} has no request but the ones of man(7) that it is made of, and a name, a synopsis or description`, async (t) => {
    const lines = (await manual(page)).split('\n');
    t.deepEqual(
      lines.filter((line) => /^[.']/.test(line) && !known.test(line)),
      [],
    );
    t.deepEqual(
      lines.filter((line) => / $/.test(line)),
      [],
    );
    // groff alone reads no UTF-8
    t.deepEqual(
      lines.filter((line) => /[^\p{ASCII}]/u.test(line)),
      [],
    );
    t.true(lines.includes('.SH "NAME"'));
    t.true(lines.includes('.SH "DESCRIPTION"'));
    t.regex(lines[0] ?? '', /^\.TH BERTH/);
  });

test('man berth tells of each verb that the help has, and of its options', async (t) => {
  const text = await manual('berth.1');
  const run = (await readFile(join(sourceTree, 'cli/verbs/run.ts'), 'utf8')).match(/\['(-[^']+)'/g) ?? [];
  t.true(run.length > 2);
  for (const option of run) t.true(text.includes(`.B ${option.slice(2, -1).replaceAll('-', '\\-')}\n`), option);
  for (const verb of ['run', 'port\\-forward', 'system', 'reload']) t.true(text.includes(`.SS "${verb}"\n`), verb);
});

test('man berth.toml and docs/configuration.md have each key of the schema', async (t) => {
  const schema = await readFile(join(sourceTree, 'cri/config/schema.ts'), 'utf8');
  const keys = [...schema.matchAll(/^ {4}name: '([^']+)',$/gm)].map(([, name = '']) => name);
  t.true(keys.length > 40);
  const [text, page] = await Promise.all([
    manual('berth.toml.5'),
    readFile(join(sourceTree, 'docs/configuration.md'), 'utf8'),
  ]);
  for (const key of keys) {
    t.true(text.includes(`.B ${key}\n`), key);
    t.true(page.includes(`| \`${key.slice(key.lastIndexOf('.') + 1)}\` |`), key);
  }
});

test('the completion of berthd offers each option and each command of its help', async (t) => {
  const { stdout } = await run(join(sourceTree, 'bin/berthd'), ['--help']);
  const options = [...stdout.matchAll(/^ {2}(?:-h, )?(--[a-z-]+)/gm)].map(([, name]) => name).sort();
  const commands = [...stdout.matchAll(/^ +berthd config ([a-z]+)/gm)].map(([, name]) => name);
  t.true(options.length > 5 && commands.length > 2);
  const script = (await run(join(sourceTree, 'bin/berth'), ['completion', 'zsh'])).stdout;
  const [, own = ''] = /^_berthd\(\) \{\n(.*?)^\}/ms.exec(script) ?? [];
  t.deepEqual([...own.matchAll(/'(--[a-z-]+)\[/g)].map(([, name]) => name).sort(), options);
  t.true(own.includes(`(${commands.join(' ')})`), own);
});

/** The sources of what runs on a node, as one text. */
const sources = async (): Promise<string> => {
  const rooms = ['api', 'base', 'cri', 'images', 'shim'].map((room) => join(sourceTree, room));
  const names = await Promise.all(
    rooms.map(async (room) => (await readdir(room, { recursive: true })).map((name) => join(room, name))),
  );
  const wanted = names.flat().filter((name) => /\.(ts|c)$/.test(name) && !/\.test\.ts$/.test(name));
  return (await Promise.all(wanted.map((name) => readFile(name, 'utf8')))).join('\n');
};

/** What the kubelet or the C library says, and no source of ours. */
const foreign = new Set(['connection refused', 'no such file']);

test('each message that docs/troubleshooting.md names is one of the sources', async (t) => {
  const page = await readFile(join(sourceTree, 'docs/troubleshooting.md'), 'utf8');
  const cells = page.split('\n').flatMap((line) => (line.startsWith('| `') ? [line.split('|')[1] ?? ''] : []));
  const messages = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text));
  t.true(messages.length > 30);
  const text = await sources();
  t.deepEqual(
    messages.filter((message) => !foreign.has(message) && !text.includes(message)),
    [],
  );
});
