// Builds the native side into build/shim/native/: only what changed is compiled again.
//   node scripts/native.mjs              berth-shim (musl, static) and each tools/*.c (glibc)
//   node scripts/native.mjs --sanitize   berth-shim-asan (glibc, dynamic, ASan and UBSan) as well
//   node scripts/native.mjs --analyze    gcc -fanalyzer over every source; a finding fails
//   node scripts/native.mjs --fuzz N     each of fuzz/*.c under clang's libFuzzer for N seconds; build/fuzz keeps what it found
//   node scripts/native.mjs --protocol N berth-shim-N, which speaks that version of the protocol: for tests of upgrades
//   node scripts/native.mjs --test       test/*.c under the sanitizers: builds, runs, prints their TAP and a sum
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'shim/native');
const output = join(root, 'build/shim/native');
const run = promisify(execFile);

const strict = [
  '-std=gnu11',
  '-D_GNU_SOURCE',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-Wshadow',
  '-Wconversion',
  '-Wformat=2',
  '-Wvla',
];
const small = ['-Os', '-g0', '-ffunction-sections', '-fdata-sections', '-fstack-protector-strong'];
const multiarch = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
const headers = ['-idirafter', '/usr/include', '-idirafter', `/usr/include/${multiarch}`];
const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'];

const variants = {
  musl: {
    compiler: 'musl-gcc',
    compile: [...strict, ...small, ...headers],
    link: ['-static', '-Wl,--gc-sections', '-Wl,-z,noexecstack', '-s'],
  },
  asan: { compiler: 'gcc', compile: [...strict, '-O1', '-g', ...sanitizers], link: sanitizers },
  tool: { compiler: 'gcc', compile: [...strict, '-Os'], link: ['-Wl,--gc-sections', '-Wl,-z,now', '-s'] },
  fuzz: {
    compiler: 'clang',
    compile: ['-std=gnu11', '-D_GNU_SOURCE', '-O1', '-g', '-fsanitize=fuzzer-no-link,address,undefined'],
    link: ['-fsanitize=fuzzer,address,undefined'],
  },
  analyze: { compiler: 'gcc', compile: [...strict, '-O1', '-fanalyzer'], link: [] },
};

const sourcesIn = (directory) =>
  existsSync(directory)
    ? readdirSync(directory)
        .filter((name) => name.endsWith('.c'))
        .sort()
        .map((name) => join(directory, name))
    : [];

const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : Number.POSITIVE_INFINITY);

/** The files a depfile names; a missing one counts as newer than anything. */
const dependencies = (depfile) =>
  existsSync(depfile)
    ? readFileSync(depfile, 'utf8')
        .replace(/^[^:]*:/, '')
        .replaceAll('\\\n', ' ')
        .split(/\s+/)
        .filter(Boolean)
    : ['(no depfile)'];

const fresh = (target, inputs) => existsSync(target) && inputs.every((input) => modified(input) <= modified(target));

const command = async (program, args) => {
  try {
    await run(program, args, { cwd: root, maxBuffer: 16 << 20 });
  } catch (error) {
    if (error.code === 'ENOENT')
      throw new Error(
        `${program} is not installed: apt-get install gcc musl-tools libseccomp-dev libisal-dev libzstd-dev libssl-dev`,
      );
    throw new Error(`${program} failed on ${args.at(-1)}\n${error.stdout ?? ''}${error.stderr ?? error.message}`);
  }
};

/** Written aside and renamed: a build that runs at the same time sees the old file or the new one. */
const produce = async (target, make) => {
  const aside = `${target}.${process.pid}.tmp`;
  try {
    await make(aside);
    renameSync(aside, target);
  } finally {
    rmSync(aside, { force: true });
  }
};

const compile = async (variantName, file) => {
  const variant = variants[variantName];
  const flags = createHash('sha256').update(JSON.stringify(variant)).digest('hex').slice(0, 12);
  const directory = join(output, 'obj', `${variantName}-${flags}`);
  mkdirSync(directory, { recursive: true });
  const object = join(directory, `${file.slice(source.length + 1).replaceAll('/', '-')}.o`);
  const depfile = object.replace(/\.o$/, '.d');
  if (!fresh(object, dependencies(depfile)))
    await produce(object, (aside) =>
      command(variant.compiler, [...variant.compile, '-MMD', '-MF', depfile, '-c', '-o', aside, file]),
    );
  return object;
};

/** Two at a time: what the smallest machine has. */
const compileAll = async (variantName, files) => {
  const objects = new Map();
  const left = [...files];
  const worker = async () => {
    for (let file = left.shift(); file !== undefined; file = left.shift())
      objects.set(file, await compile(variantName, file));
  };
  await Promise.all([worker(), worker()]);
  return files.map((file) => objects.get(file));
};

const link = async (variantName, target, objects, libraries = []) => {
  // The list of objects is an input as well: a file that went away must go from the program.
  const list = `${target}.inputs`;
  const text = `${objects.join('\n')}\n`;
  if (!existsSync(list) || readFileSync(list, 'utf8') !== text) writeFileSync(list, text);
  if (fresh(target, [...objects, list])) return;
  const variant = variants[variantName];
  await produce(target, (aside) => command(variant.compiler, [...variant.link, '-o', aside, ...objects, ...libraries]));
};

const buildProgram = async (variantName, name) => {
  const objects = await compileAll(variantName, sourcesIn(source));
  await link(variantName, join(output, name), objects);
};

/** The version is in a few sources alone; the rest is as it was compiled. */
const buildProtocol = async (number) => {
  const { musl } = variants;
  const name = `protocol-${number}`;
  variants[name] = { ...musl, compile: [...musl.compile, `-DBERTH_PROTOCOL=${number}`] };
  const named = (file) => readFileSync(file, 'utf8').includes('BERTH_PROTOCOL');
  const all = sourcesIn(source);
  const own = await compileAll(name, all.filter(named));
  const common = await compileAll(
    'musl',
    all.filter((file) => !named(file)),
  );
  await link(name, join(output, `berth-shim-${number}`), [...own, ...common]);
};

/** What each of tools/*.c is linked with. Debian has libisal as a shared library alone. */
const libraries = {
  'berth-seccomp': ['-static', '-lseccomp'],
  'berth-decompress': ['-lisal', '-l:libzstd.a', '-l:libcrypto.a', '-l:libseccomp.a'],
};

/** What a test or a fuzzer is linked with that has a tool's source in it. */
const included = { decompress: libraries['berth-decompress'] };

const buildTools = async () => {
  for (const file of sourcesIn(join(source, 'tools'))) {
    const name = basename(file, '.c');
    await link('tool', join(output, name), await compileAll('tool', [file]), libraries[name]);
  }
};

/** Each test gets every object but main's. */
const runTests = async () => {
  const objects = await compileAll(
    'asan',
    sourcesIn(source).filter((file) => basename(file) !== 'main.c'),
  );
  const sum = { passed: 0, failed: 0 };
  mkdirSync(join(output, 'test'), { recursive: true });
  for (const file of sourcesIn(join(source, 'test'))) {
    const program = join(output, 'test', basename(file, '.c'));
    await link('asan', program, [...(await compileAll('asan', [file])), ...objects], included[basename(file, '.c')]);
    const { stdout, stderr, status, signal } = spawnSync(program, { encoding: 'utf8', timeout: 120_000 });
    process.stdout.write(`# ${basename(file, '.c')}\n${stdout}${stderr}`);
    const passed = (stdout.match(/^ok /gm) ?? []).length;
    const failed = (stdout.match(/^not ok /gm) ?? []).length;
    // A crash, a sanitizer's report or no test at all is a failure of its own.
    const broken = (status !== 0 && failed === 0) || passed + failed === 0;
    if (broken) process.stdout.write(`not ok - ${basename(file, '.c')} ended with ${signal ?? status}\n`);
    sum.passed += passed;
    sum.failed += failed + (broken ? 1 : 0);
  }
  process.stdout.write(`native: ${sum.passed} passed, ${sum.failed} failed\n`);
  if (sum.failed > 0 || sum.passed === 0) process.exitCode = 1;
};

/** The seeds of unpack.c are text, in which more than one layer has room. */
const fuzzers = [
  { name: 'unpack', seeds: 'seeds', length: 6000 },
  { name: 'decompress', seeds: 'seeds-decompress', length: 4096 },
];

const runFuzzer = async ({ name, seeds, length }, seconds) => {
  const native = await compileAll(
    'fuzz',
    sourcesIn(source).filter((file) => basename(file) !== 'main.c'),
  );
  const [target] = await compileAll('fuzz', [join(source, `fuzz/${name}.c`)]);
  await link('fuzz', join(output, `fuzz-${name}`), [target, ...native], included[name]);
  const found = join(root, `build/fuzz/${name}/`);
  mkdirSync(join(found, 'corpus'), { recursive: true });
  const limits = [`-max_total_time=${seconds}`, `-max_len=${length}`, '-timeout=20', '-rss_limit_mb=1500'];
  const report = ['-close_fd_mask=3', '-use_value_profile=1', '-print_final_stats=1', `-artifact_prefix=${found}`];
  const inputs = [join(found, 'corpus'), join(source, 'fuzz', seeds)];
  const { status } = spawnSync(join(output, `fuzz-${name}`), [...limits, ...report, ...inputs], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
};

const options = process.argv.slice(2);
const seconds = options.includes('--fuzz') ? options.splice(options.indexOf('--fuzz') + 1, 1)[0] : undefined;
if (options.includes('--fuzz') && !/^\d+$/.test(seconds ?? ''))
  throw new Error('native.mjs: --fuzz needs a number of seconds');
const protocol = options.includes('--protocol') ? options.splice(options.indexOf('--protocol') + 1, 1)[0] : undefined;
if (options.includes('--protocol') && !/^\d+$/.test(protocol ?? ''))
  throw new Error('native.mjs: --protocol needs a number');
const wanted = new Set(options);
for (const option of wanted)
  if (!['--sanitize', '--analyze', '--protocol', '--test', '--fuzz'].includes(option))
    throw new Error(`native.mjs: unknown option ${option}`);
mkdirSync(output, { recursive: true });
try {
  if (wanted.has('--analyze')) await compileAll('analyze', sourcesIn(source));
  await buildProgram('musl', 'berth-shim');
  await buildTools();
  if (protocol !== undefined) await buildProtocol(protocol);
  if (wanted.has('--sanitize')) await buildProgram('asan', 'berth-shim-asan');
  if (wanted.has('--test')) await runTests();
  if (wanted.has('--fuzz')) for (const fuzzer of fuzzers) await runFuzzer(fuzzer, seconds);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
