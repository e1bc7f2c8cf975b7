import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { runArguments } from './command.ts';
import { parseConfig, parseSources } from './load.ts';
import { dumpFile } from './print.ts';
import { keys } from './schema.ts';

const run = async (...argv: string[]) => {
  let out = '';
  let error = '';
  const outcome = await runArguments(argv, { out: (text) => (out += text), error: (text) => (error += text) });
  return { outcome, out, error };
};

/** A directory with `config.toml`, and `config.d` with the drop-ins by their names. */
const inFiles = (main: string, dropIns: Readonly<Record<string, string>>, body: (file: string) => Promise<void>) =>
  withDir(
    async ({ path }) => {
      await writeFile(join(path, 'config.toml'), main);
      await mkdir(join(path, 'config.d'));
      for (const [name, text] of Object.entries(dropIns)) await writeFile(join(path, 'config.d', name), text);
      await body(join(path, 'config.toml'));
    },
    { unsafeCleanup: true },
  );

test('drop-ins stand above the file in the order of their names, lists whole, and only *.toml counts', async (t) => {
  const main = 'log_level = "warn"\n[registry]\nstall_seconds = 1\nplain_http = ["a", "b"]\n';
  const dropIns = {
    '20-late.toml': 'registry.stall_seconds = 3\n',
    '10-early.toml': '[registry]\nstall_seconds = 2\nplain_http = ["c"]\n',
    '.hidden.toml': 'wrong',
    '30-backup.toml~': 'wrong',
  };
  await inFiles(main, dropIns, async (file) => {
    const { outcome } = await run('--config', file);
    t.like(outcome, { loaded: { config: { log_level: 'warn', registry: { stall_seconds: 3, plain_http: ['c'] } } } });
    if (outcome.kind === 'run')
      t.deepEqual(
        outcome.loaded.files.map((path) => path.slice(file.lastIndexOf('/') + 1)),
        ['config.toml', 'config.d/10-early.toml', 'config.d/20-late.toml'],
      );
  });
});

test('a file among the drop-ins with another ending is told of by config check, and what editors leave is not', async (t) => {
  const names = ['10-limits.conf', '20.tml', '30.toml.off', 'x.toml~', '.y.conf', 'right.toml'];
  await inFiles('', Object.fromEntries(names.map((name) => [name, ''])), async (file) => {
    const { outcome, error, out } = await run('config', 'check', file);
    t.deepEqual(outcome, { kind: 'done', status: 0 });
    const directory = file.replace('config.toml', 'config.d');
    t.is(out, `${file}: no errors\n${directory}/right.toml: no errors\n`);
    t.deepEqual(
      error.split('\n'),
      [...names.slice(0, 3), '']
        .map(
          (name) => `berthd: warning: ${directory}/${name}: not read: only files whose names end in .toml are drop-ins`,
        )
        .with(-1, ''),
    );
  });
});

test('config check tells the problems of the file and of each drop-in, each with its line', async (t) => {
  const dropIns = { 'a.toml': '\n[limits]\npid = 1\n', 'b.toml': 'x = = 1\n' };
  await inFiles('log_levle = "info"\n', dropIns, async (file) => {
    const directory = file.replace('config.toml', 'config.d');
    const { outcome, error, out } = await run('config', 'check', file);
    t.deepEqual(outcome, { kind: 'done', status: 1 });
    t.is(out, '');
    const [first, second, third, ...more] = error.split('\n');
    t.is(first, `berthd: ${file}:1: log_levle: unknown key; did you mean log_level?`);
    t.is(second, `berthd: ${directory}/a.toml:3: limits.pid: unknown key; did you mean pids?`);
    t.true(third?.startsWith(`berthd: ${directory}/b.toml:1: `), third);
    t.deepEqual(more, ['']);
  });
});

test('a file or a drop-in that is a link to nothing is an error, and not passed over', async (t) => {
  await inFiles('', {}, async (file) => {
    const dropIn = file.replace('config.toml', 'config.d/a.toml');
    await symlink('/nonexistent/berth.toml', dropIn);
    const { outcome, error } = await run('config', 'check', file);
    t.deepEqual(outcome, { kind: 'done', status: 1 });
    t.is(error, `berthd: ${dropIn}: a link that leads to nothing\n`);
  });
});

test('keys that contradict each other are told with the line of one of them', (t) => {
  const error = t.throws(() => parseConfig('\nlimits.nofile_hard = 512\n', 'c.toml'));
  t.is(error.message, 'c.toml:2: limits.nofile_soft: 1024 is more than limits.nofile_hard, 512');
});

test('config dump gives every key with its value and its origin, and is a file that says the same', async (t) => {
  const dropIns = { 'a.toml': '[exec]\noutput_limit = "4MiB"\n' };
  await inFiles('state = "/s"\n', dropIns, async (file) => {
    const { out } = await run('config', 'dump', file);
    const directory = file.replace('config.toml', 'config.d');
    t.true(out.startsWith(`# Read: ${file}, ${directory}/a.toml\n`), out);
    const lines = out.split('\n');
    t.true(lines.includes(`state = "/s"  # ${file}:1`));
    t.true(lines.includes('listen = "unix:///s/berth.sock"  # follows state'));
    t.true(lines.includes('address = "unix:///s/http.sock"  # follows state'));
    t.true(lines.includes(`output_limit = 4194304  # ${directory}/a.toml:2`));
    t.true(lines.includes('plain_http = []  # default'));
    t.is(lines.filter((line) => / = .* {2}# /.test(line)).length, keys.length);
    const { outcome } = await run('--config', file);
    t.deepEqual(parseConfig(out, 'dump'), outcome.kind === 'run' ? outcome.loaded.config : undefined);
  });
  const flagged = await run('--log-level', 'error', '--config', '/nowhere/c.toml', 'config', 'dump');
  t.regex(flagged.error, /there is no such file/);
  t.true(dumpFile(parseSources([], { log_level: 'error' })).includes('log_level = "error"  # --log-level'));
});

test('a configuration cannot be changed once it is read', (t) => {
  const config = parseConfig('registry.plain_http = ["a"]', 'c');
  t.true(Object.isFrozen(config) && Object.isFrozen(config.registry) && Object.isFrozen(config.registry.plain_http));
});

test('config check reads the files that keys name, and tells each that the daemon could not use', async (t) => {
  await inFiles('', {}, async (file) => {
    const directory = file.replace('/config.toml', '');
    const broken = join(directory, 'broken.json');
    await writeFile(broken, '{');
    await writeFile(
      file,
      [
        '[streaming]',
        `tls_cert = "${broken}"`,
        `tls_key = "${broken}"`,
        '[seccomp]',
        `default = "${broken}"`,
        '[registry]',
        `docker_config = "${broken}"`,
        `credential_provider_config = "${directory}/none.yaml"`,
      ].join('\n'),
    );
    const { outcome, error } = await run('config', 'check', file);
    t.like(outcome, { status: 1 });
    const lines = error.trimEnd().split('\n');
    t.is(lines.length, 4, error);
    for (const [line, key] of [
      [2, 'streaming.tls_cert'],
      [5, 'seccomp.default'],
      [7, 'registry.docker_config'],
      [8, 'registry.credential_provider_config'],
    ])
      t.true(
        lines.some((text) => text.startsWith(`berthd: ${file}:${line}: ${key}: `)),
        `${key}: ${error}`,
      );
    t.true(error.includes('none.yaml: there is no such file'));
    const started = await run('--config', file);
    t.is(started.outcome.kind, 'run');
  });
});
