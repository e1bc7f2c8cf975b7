import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { dir } from 'tmp-promise';
import { defaultCapabilities } from '../../cri/security/capabilities.ts';
import { compileSeccomp, type Runner, toolVersion } from '../../cri/security/seccomp.ts';
import { defaultSeccomp } from '../../cri/security/seccomp-default.ts';
import { run } from '../shim/layers.ts';

const tool = fileURLToPath(new URL('../../shim/native/berth-seccomp', import.meta.url));
const source = fileURLToPath(new URL('../../../critest/cri/filtered.c', import.meta.url));
const cpu = process.arch === 'arm64' ? 'arm64' : 'x64';

class Counted implements Runner {
  runs = 0;
  async run({ argv, stdin }: Parameters<Runner['run']>[0]): ReturnType<Runner['run']> {
    this.runs += 1;
    const ended = await run(argv[0] ?? '', argv.slice(1), stdin);
    return { code: ended.code, signal: 0, stdout: ended.stdout, stderr: Buffer.from(ended.stderr) };
  }
}

const room = await dir({ unsafeCleanup: true });
const program = join(room.path, 'filtered');
test.before('build the program that makes the calls', async (t) => {
  const built = await run('cc', ['-static', '-O1', '-o', program, source]);
  t.is(built.code, 0, built.stderr);
});
test.after.always(() => room.cleanup());

const filterFor = async (capabilities: readonly string[]): Promise<string> => {
  const path = join(room.path, `${capabilities.length}.bpf`);
  writeFileSync(
    path,
    await compileSeccomp(new Counted(), tool, join(room.path, 'cache'), defaultSeccomp(capabilities, cpu)),
  );
  return path;
};

const answers = async (filter: string, calls: readonly string[]): Promise<string> => {
  const ended = await run(program, [filter, 'call', ...calls]);
  return `${ended.code} ${ended.stdout.toString().trim().split('\n').join(', ')}`;
};

test('under the default filter root gets EPERM for what is dangerous and ENOSYS for what is not known', async (t) => {
  const filter = await filterFor(defaultCapabilities);
  t.is(
    await answers(filter, ['mount', 'unshare', 'setns', 'keyctl', 'bpf', 'io_uring_setup', 'clone-newuser', 'vsock']),
    '0 mount 1, unshare 1, setns 1, keyctl 1, bpf 1, io_uring_setup 1, clone-newuser 1, vsock 1',
  );
  t.is(
    await answers(filter, ['clone3', 'unknown', 'personality-aslr', 'personality', 'unix', 'getpid']),
    '0 clone3 38, unknown 38, personality-aslr 38, personality 0, unix 0, getpid 0',
  );
});

test('with CAP_SYS_ADMIN the kernel answers, not the filter', async (t) => {
  const EFAULT = 14;
  const EBADF = 9;
  const filter = await filterFor(['CAP_SYS_ADMIN']);
  t.is(
    await answers(filter, ['mount', 'setns', 'clone3', 'chroot']),
    `0 mount ${EFAULT}, setns ${EBADF}, clone3 22, chroot 1`,
  );
});

test('ordinary programs run under the default filter', async (t) => {
  const filter = await filterFor(defaultCapabilities);
  const script =
    'set -e; echo a | tr a b; (sleep 0 & wait); ls -l /proc/self >/dev/null; date >/dev/null; mktemp -u >/dev/null';
  const shell = await run(program, [filter, 'run', 'sh', '-c', script]);
  t.is(shell.stdout.toString(), 'b\n', shell.stderr);
  t.is(shell.code, 0);
  // Threads, epoll, timers, sockets: a runtime that tries io_uring, clone3 and newer calls first.
  const code =
    "const { Worker } = require('node:worker_threads'); new Worker('0', { eval: true }).on('exit', () => require('node:net').createServer().listen(0, function () { this.close(); console.log('up'); }));";
  const node = await run(program, [filter, 'run', process.execPath, '-e', code]);
  t.is(node.stdout.toString(), 'up\n', node.stderr);
});

test('a profile is compiled once, and a broken cache file is made anew', async (t) => {
  const runner = new Counted();
  const cache = join(room.path, 'once');
  const profile = defaultSeccomp(['CAP_BPF'], cpu);
  const [a, b] = await Promise.all([
    compileSeccomp(runner, tool, cache, profile),
    compileSeccomp(runner, tool, cache, profile),
  ]);
  t.is(runner.runs, 1);
  t.deepEqual(a, b);
  t.deepEqual(Buffer.from(await compileSeccomp(runner, tool, cache, profile)), Buffer.from(a));
  t.is(runner.runs, 1);
  const [name = ''] = readdirSync(cache);
  t.regex(name, /^[0-9a-f]{64}\.bpf$/);
  writeFileSync(join(cache, name), 'cut');
  await compileSeccomp(runner, tool, cache, profile);
  t.is(runner.runs, 2);
  t.deepEqual(readFileSync(join(cache, name)), Buffer.from(a));
});

test('the tool refuses what it does not understand, with the line', async (t) => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['', /cut/],
    ['default errno 1\nrule allow 0 read\n', /cut/],
    ['rule allow 0 read\nend\n', /line 1: rule: the first line must be the default/],
    ['default maybe 0\nend\n', /no such action/],
    ['default errno 1\narch vax\nend\n', /line 2: vax: no such architecture/],
    ['default errno 1\nrule allow 0 read 0 eq\nend\n', /wrong number of words/],
    ['default errno 1\nrule allow 0 read 9 eq 1 0\nend\n', /out of range/],
    ['default errno 1\nrule allow 1 read\nend\n', /only the actions errno and trace/],
    ['default errno 4096\nend\n', /out of range/],
    ['default errno 1\nend\nrule allow 0 mount\n', /after the end/],
  ];
  for (const [input, message] of wrong) {
    const ended = await run(tool, [], Buffer.from(input));
    t.is(ended.code, 1, input);
    t.regex(ended.stderr, message);
    t.is(ended.stdout.length, 0);
  }
  t.is((await run(tool, ['--version'])).stdout.toString(), `${toolVersion}\n`);
});
