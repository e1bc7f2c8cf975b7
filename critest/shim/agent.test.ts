import { open, readFile, writeFile } from 'node:fs/promises';
import test from 'ava';
import { BerthError, codeOf } from '../../base/errors.ts';
import { Agent, SELF } from '../../shim/agent.ts';
import { until } from '../harness/until.ts';
import { systemEnvironment } from '../harness/world.ts';
import { Isolated } from './isolated.ts';

const isAlive = async (pid: number): Promise<boolean> => {
  try {
    return !/^State:\s+[ZX]/m.test(await readFile(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** The pid of the agent's child of that name. */
const childNamed = async (isolated: Isolated, name: string): Promise<number | undefined> => {
  const agent = await isolated.text('echo $PPID');
  for (const pid of (await readFile(`/proc/${agent}/task/${agent}/children`, 'utf8')).trim().split(' ')) {
    const comm = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    if (comm.trim() === name) return Number(pid);
  }
  return undefined;
};

test('a program gets its arguments, its own environment, directory, stdin and limits, and nothing of ours', async (t) => {
  await using isolated = await Isolated.start();
  const script =
    'cat /dev/stdin; echo "$A|$(pwd)|$(ulimit -n)|$(umask)|$HOME"; ls /proc/self/fd | wc -l; echo two >&2; exit 7';
  const result = await isolated.sh(script, { stdin: Buffer.from('in '), cwd: '/usr', env: { A: 'b c', PATH: '/bin' } });
  t.is(result.code, 7);
  t.is(result.signal, 0);
  t.is(result.stdout.toString(), 'in b c|/usr|1024|0022|\n4\n');
  t.is(result.stderr.toString(), 'two\n');
  t.is(await isolated.text('grep -E "^Sig(Blk|Ign)" /proc/self/status | tr -s "\\t\\n0" " "'), 'SigBlk: SigIgn:');
});

test('the limit of open files is the one that was asked for', async (t) => {
  await using isolated = await Isolated.start({ nofileSoft: 777 });
  t.is(await isolated.text('ulimit -Sn'), '777');
});

test('a command that does not exist, and a directory that does not, are named with their errno', async (t) => {
  await using isolated = await Isolated.start();
  const { agent } = isolated;
  await t.throwsAsync(agent.run({ name: 'x', argv: ['/nope'] }), {
    message: 'x: exec /nope: ENOENT: no such file or directory',
  });
  await t.throwsAsync(agent.run({ name: 'x', argv: ['/bin/true'], cwd: '/nope' }), {
    message: 'x: chdir /nope: ENOENT: no such file or directory',
  });
  await t.throwsAsync(agent.run({ name: 'x', argv: ['true'] }), { message: /not absolute/ });
  await t.throwsAsync(agent.run({ name: 'x', argv: ['/bin/a\0b'] }), { message: /zero byte/ });
  await t.throwsAsync(agent.run({ name: 'x', argv: ['/bin/true'], stdin: Buffer.alloc((1 << 20) + 1) }), {
    message: /limit 1048576/,
  });
});

test('a child in the background that keeps the pipes open does not hold up the result', async (t) => {
  await using isolated = await Isolated.start();
  const started = performance.now();
  const result = await isolated.sh('sleep 60 & echo $!');
  t.true(performance.now() - started < 30_000);
  process.kill(Number(result.stdout.toString()), 'SIGKILL');
});

test('the first MiB of a stream is kept, the rest is read and thrown away', async (t) => {
  await using isolated = await Isolated.start();
  const result = await isolated.sh('head -c 5000000 /dev/zero; head -c 1000 /dev/zero >&2; echo end >&2');
  t.is(result.code, 0);
  t.is(result.stdout.length, 1 << 20);
  t.is(result.stderr.length, 1004);
});

test('all that a program printed before its end arrives, whatever its size', async (t) => {
  await using isolated = await Isolated.start();
  const sizes = [1, 4096, 65_536, 65_537, 300_000, 1 << 20];
  const results = await Promise.all(sizes.map((size) => isolated.sh(`head -c ${size} /dev/zero`)));
  t.deepEqual(
    results.map(({ stdout }) => stdout.length),
    sizes,
  );
});

test('stdin of one MiB is read whole', async (t) => {
  await using isolated = await Isolated.start();
  t.is(await isolated.text('wc -c', { stdin: Buffer.alloc(1 << 20) }), '1048576');
});

test('a timeout or an abort kills the whole process group', async (t) => {
  await using isolated = await Isolated.start();
  const file = isolated.path('pid');
  let pid = 0;
  // On a slow machine it may not have come so far.
  for (let timeoutMs = 500; pid === 0 && timeoutMs < 20_000; timeoutMs *= 2) {
    const slow = isolated.sh(`sleep 60 & echo $! > ${file}; wait`, { timeoutMs });
    t.is(codeOf(await t.throwsAsync(slow)), 'deadline-exceeded');
    pid = Number(await readFile(file, 'utf8').catch(() => ''));
  }
  t.true(pid > 0);
  await until('the child is dead', async () => !(await isAlive(pid)));
  const signal = AbortSignal.timeout(100);
  t.is(codeOf(await t.throwsAsync(isolated.sh('sleep 60', { signal }))), 'cancelled');
  t.is(codeOf(await t.throwsAsync(isolated.sh('true', { signal }))), 'cancelled');
});

test('the end of a signalled program is told as 128 + signal', async (t) => {
  await using isolated = await Isolated.start();
  const { code, signal } = await isolated.sh('kill -TERM $$');
  t.deepEqual([code, signal], [143, 15]);
});

test('a hundred programs at once each get their own output', async (t) => {
  await using isolated = await Isolated.start();
  const numbers = Array.from({ length: 100 }, (_, n) => n);
  const texts = await Promise.all(
    numbers.map((n) => isolated.text(`cat; echo ${n}`, { stdin: Buffer.from(`${n * 2} `) })),
  );
  t.deepEqual(
    texts,
    numbers.map((n) => `${n * 2} ${n}`),
  );
});

test('a lock is held as long as a child of the program lives, and names its process group', async (t) => {
  await using isolated = await Isolated.start();
  const { agent } = isolated;
  const lock = isolated.path('lock');
  t.deepEqual(await agent.tryLock(lock), { free: true, pid: 0 });
  const pids = (await isolated.text('sleep 60 & echo $$ $!', { lock })).split(' ').map(Number);
  t.deepEqual(await agent.tryLock(lock), { free: false, pid: pids[0] ?? 0 });
  const second = await t.throwsAsync(isolated.sh('true', { lock }));
  t.is(codeOf(second), 'failed-precondition');
  await agent.endHolder(lock, 50);
  t.is((await agent.tryLock(lock)).free, true);
  await until('the child is dead', async () => !(await isAlive(pids[1] ?? 0)));
});

test('endHolder also ends a holder that left the process group, and nobody else', async (t) => {
  await using isolated = await Isolated.start();
  const [lock, file] = [isolated.path('lock'), isolated.path('pid')];
  const bystander = t.throwsAsync(isolated.sh(`echo $$ > ${file}; exec sleep 60`));
  await until('it runs', async () => (await readFile(file, 'utf8').catch(() => '')) !== '');
  const pid = Number(await isolated.text('setsid sleep 60 & echo $!', { lock }));
  await isolated.agent.endHolder(lock, 10);
  await until('the holder is dead', async () => !(await isAlive(pid)));
  t.true(await isAlive(Number(await readFile(file, 'utf8'))));
  await isolated.agent[Symbol.asyncDispose]();
  t.is(codeOf(await bystander), 'unavailable');
});

test('endHolder waits for a holder that ends in time', async (t) => {
  await using isolated = await Isolated.start();
  const lock = isolated.path('lock');
  const go = isolated.path('go');
  const run = isolated.sh(`until [ -e ${go} ]; do sleep 0.02; done; sleep 0.3; echo whole`, { lock });
  await until('the lock is held', async () => !(await isolated.agent.tryLock(lock)).free);
  const waited = isolated.agent.endHolder(lock, 60_000);
  await writeFile(go, '');
  await waited;
  t.is((await run).stdout.toString(), 'whole\n');
});

test('what a program left in the lock file is not taken for a process group', async (t) => {
  await using isolated = await Isolated.start();
  const lock = isolated.path('lock');
  for (const text of ['-1', '0', '1x', '99999999999999999999', '']) {
    await isolated.sh(`printf %s '${text}' > ${lock}`);
    t.deepEqual(await isolated.agent.tryLock(lock), { free: true, pid: 0 }, text);
  }
  await t.throwsAsync(isolated.agent.tryLock(isolated.directory), { message: /not a regular file/ });
});

test('programs die with the agent, those that shall outlive it do not', async (t) => {
  await using isolated = await Isolated.start();
  const [short, long] = [isolated.path('short'), isolated.path('long')];
  const runs = [
    isolated.sh(`echo $$ > ${short}; exec sleep 60`),
    isolated.sh(`echo $$ > ${long}; exec sleep 60`, { outlive: true }),
  ].map((run) => t.throwsAsync(run));
  const pidIn = async (file: string): Promise<number> => Number(await readFile(file, 'utf8').catch(() => '0'));
  await until('both run', async () => (await pidIn(short)) > 0 && (await pidIn(long)) > 0);
  const agent = Number(await isolated.text('echo $PPID'));
  process.kill(agent, 'SIGKILL');
  for (const error of await Promise.all(runs)) t.is(codeOf(error), 'unavailable');
  await until('the short one is dead', async () => !(await isAlive(await pidIn(short))));
  t.true(await isAlive(await pidIn(long)));
  process.kill(await pidIn(long), 'SIGKILL');
  t.is(await isolated.text('echo again'), 'again');
  t.is(isolated.agent.restarts, 1);
});

test('an agent that dies again and again refuses with the reason, and does not hang', async (t) => {
  await using isolated = await Isolated.start();
  const kill = async (): Promise<BerthError | undefined> => {
    try {
      process.kill(Number(await isolated.text('echo $PPID')), 'SIGKILL');
      return undefined;
    } catch (error) {
      // Until it is noticed that the agent has gone, what is asked fails with it.
      return error instanceof BerthError && /in a row/.test(error.message) ? error : undefined;
    }
  };
  const refused = await until('it refuses', kill, 60);
  t.is(refused.code, 'unavailable');
  t.regex(refused.message, /in a row, last: .*SIGKILL/);
});

test('a program that is not there is refused at the start', async (t) => {
  const log = { warn: () => undefined, error: () => undefined };
  await t.throwsAsync(Agent.start({ program: '/nope/berth-shim', log }), { message: /ENOENT/ });
  await t.throwsAsync(Agent.start({ program: '/bin/true', log }), { message: /spawn agent died/ });
});

test('the agent and its helpers run from a copy that cannot be written, memfd or not', async (t) => {
  for (const without of [[], ['memfdExec']] as const) {
    await using isolated = await Isolated.start({ without });
    t.is(isolated.agent.features.memfdExec, without.length === 0);
    const lock = isolated.path('lock');
    const go = isolated.path('go');
    const holder = isolated.sh(`until [ -e ${go} ]; do sleep 0.05; done`, { lock });
    await until('the lock is held', async () => !(await isolated.agent.tryLock(lock)).free);
    const waiting = isolated.agent.endHolder(lock, 60_000);
    const pid = await until('the helper runs', () => childNamed(isolated, 'berth-lock'));
    for (const mode of ['r+', 'a', 'w'] as const)
      await t.throwsAsync(
        open(`/proc/${pid}/exe`, mode).then((handle) => handle.close()),
        { message: /ETXTBSY|EROFS|EPERM/ },
      );
    await writeFile(go, '');
    await waiting;
    await holder;
  }
});

test('another user reads nothing of the agent', async (t) => {
  await using isolated = await Isolated.start();
  const files = 'for f in environ maps mem exe root cwd fd/3; do cat /proc/$PPID/$f && echo READ $f; done; true';
  const agent = await isolated.text('echo $PPID');
  const output = await isolated.text(
    `setpriv --reuid 0 --clear-groups --bounding-set=-all --inh-caps=-all sh -c '${files.replaceAll('$PPID', agent)}' 2>/dev/null`,
  );
  t.is(output, '');
});

test('the mount template holds one mount, and nobody can write to it', async (t) => {
  await using isolated = await Isolated.start();
  // Without /proc, /bin and all else of the host, the shell's own words are what is left.
  const script = 'exec 5</proc/self/mountinfo; nsenter --mount=/proc/self/fd/4 /bin/true';
  const { code, stderr } = await isolated.sh(script, { template: true });
  t.is(code, 127);
  t.regex(stderr.toString(), /\/bin\/true/);
});

test('features that are switched off are off', async (t) => {
  await using isolated = await Isolated.start({ without: ['lowerdirPlus', 'cgroupKill'] });
  const { features } = isolated.agent;
  t.false(features.lowerdirPlus || features.cgroupKill);
  t.true(features.recursiveReadOnly);
  t.regex(isolated.agent.kernel, /^\d+\.\d+/);
});

test('a role of ours that is not known says so', async (t) => {
  await using isolated = await Isolated.start();
  const { code, stderr } = await isolated.agent.run({ name: 'x', argv: [SELF, 'nope'] });
  t.is(code, 64);
  t.regex(stderr.toString(), /unknown role nope/);
});

test('the interfaces of network namespaces are read inside of them, and the agent stays in its own', async (t) => {
  await using isolated = await Isolated.start();
  const { agent, directory } = isolated;
  const own = await isolated.text('readlink /proc/self/ns/net');
  const pins = Array.from({ length: 40 }, (_, i) => `${directory}/net${i}`);
  const pin = 'for n in "$@"; do touch $n; unshare --net=$n true; done; true';
  t.is((await agent.run({ name: 'pin', argv: ['/bin/sh', '-c', pin, 'sh', ...pins], env: systemEnvironment })).code, 0);
  const texts = await agent.netDevices([...pins, `${directory}/none`, '/etc/passwd']);
  t.is(texts.length, 42);
  for (const text of texts.slice(0, 40)) t.regex(text, /^Inter-\|.*\n.*\n\s*lo: /);
  t.deepEqual(texts.slice(40), ['', '']);
  t.is(await isolated.text('readlink /proc/self/ns/net'), own);
  await agent.run({ name: 'unpin', argv: ['/bin/umount', ...pins] });
});
