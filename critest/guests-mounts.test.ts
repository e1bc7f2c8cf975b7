import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { ContainerConfig, Input, LinuxContainerSecurityContext, Mount } from '../api/generated/types.ts';
import { importEntries, link, madeImages } from './harness/made-image.ts';
import { fresh, idle, runPod, type TestContainer, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import type { TarEntry } from './harness/tar.ts';
import { until } from './harness/until.ts';

// What stands in an image or in a volume where the runtime mounts, makes, masks and binds.
const daemon = suiteDaemon({ ignore: madeImages });
type Security = Input<LinuxContainerSecurityContext>;

/** A directory of the host, with what this script makes in it. */
const volume = async (script = 'true'): Promise<string> => {
  const path = daemon().world.path('logs', fresh('volume'));
  await mkdir(path);
  await daemon().world.sh(`cd ${path}; ${script}`);
  return path;
};

const at = (container_path: string, host_path: string): Input<Mount> => ({ container_path, host_path });

/** What is there with its type, size and mount: nothing may change it. */
const state = (path: string): Promise<string> =>
  daemon().world.sh(`find ${path} -exec stat -c '%n %F %s %a %d' {} +; grep ${path} /proc/self/mountinfo || true`);

/** Its network is the host's: no plugin has to run. */
const run = (): Promise<TestPod> =>
  runPod(daemon(), { linux: { security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } } } });

const refused = async (pod: TestPod, config: Input<ContainerConfig>): Promise<string> => {
  const container = await pod.create(idle, config);
  const error: unknown = await container.start().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof Error ? error.message : 'started';
};

// ---- the runtime's own mount points

const instead: readonly (readonly [string, (name: string) => TarEntry])[] = [
  ['a link to a directory of the image', (name) => link(name, '/trap')],
  ['a link into a volume', (name) => link(name, '/volume')],
  ['a regular file', (name) => ({ name, data: 'a file' })],
];

for (const place of ['proc', 'sys', 'dev'])
  test(`runc 2019-19921, 2023-27561, 2023-28642, 2026-41579, crun 2026-47766: an image whose /${place} is a link or a file is refused, and nothing is mounted or made there`, async (t) => {
    const trap: TarEntry[] = [{ name: 'trap/', type: 'directory' }, { name: 'trap/untouched' }];
    const host = await volume('echo kept >untouched');
    const before = await state(host);
    const pod = await run();
    for (const [what, entry] of instead) {
      const image = await importEntries(daemon(), fresh(place), [...trap, entry(place)]);
      const message = await refused(pod, { image: { image }, mounts: [at('/volume', host)] });
      t.regex(message, new RegExp(`/${place}.*(ELOOP|ENOTDIR)`), what);
      t.is(await state(host), before, what);
    }
  });

for (const [kind, source] of [
  ['a file', 'file'],
  ['a directory', 'directory'],
] as const)
  test(`runc 2024-45310: a mount point for ${kind} that is missing behind links of a volume is made inside the root, never on the host`, async (t) => {
    const outside = await volume();
    const up = '../../../../../../../../..';
    const links = `ln -s ${outside} absolute; ln -s ${up}${outside} relative; ln -s ${outside}/dangling dangling; ln -s ${up} up`;
    const shared = await volume(`${links}; touch file; mkdir directory`);
    const pod = await run();
    for (const path of ['absolute/made', 'relative/made', 'dangling', 'dangling/made', `up${outside}/made`]) {
      const mounts = [at('/v', shared), at(`/v/${path}`, `${shared}/${source}`)];
      const container = await pod.create(idle, { mounts });
      await container.start();
      const found = await container.exec(`stat -c %F ${outside}/made ${outside}/dangling ${outside}/dangling/made`);
      t.regex(found.stdout, kind === 'a file' ? /regular/ : /directory/, path);
      t.is(await daemon().world.sh(`find ${outside} -mindepth 1`), '', path);
      await container.remove();
    }
  });

test('containerd 2022-23648: a VOLUME of the image with .. in its path or behind a link shows and changes nothing of the host', async (t) => {
  const host = await volume('echo secret >secret');
  const before = await state(host);
  const up = '../../../../../../../../..';
  const Volumes = { [`/${up}${host}`]: {}, '/linked': {}, [`/linked/${up}${host}`]: {}, '/up/x': {} };
  const image = await importEntries(daemon(), 'volumes', [link('linked', host), link('up', up)], { Volumes });
  const pod = await run();
  const container = await pod.create(idle, { image: { image } });
  const started = await container.start().then(
    () => true,
    () => false,
  );
  if (started)
    t.notRegex(
      (await container.exec(`for f in /linked ${host} /up${host}; do read -r x <$f/secret && echo $x; done`)).stdout,
      /secret/,
    );
  t.is(await state(host), before);
  t.is(await daemon().world.sh(`grep -rl secret ${daemon().world.path('root', 'containers')} || true`), '');
});

// ---- masking

const masked: Security = { masked_paths: ['/proc/interrupts', '/etc/passwd'] };
const masking = (host: string, ...more: Input<Mount>[]): Input<ContainerConfig> => ({
  mounts: [at('/dev', host), ...more],
  linux: { security_context: masked },
});

const notNull: readonly (readonly [string, string])[] = [
  ['a link to a file', 'echo trap >trap; ln -s trap null'],
  ['a link to the real one', 'mknod real c 1 3; ln -s real null'],
  ['a link into /proc', 'ln -s /proc/self/environ null'],
  ['a regular file', 'echo trap >null'],
  ['a fifo', 'mkfifo null'],
  ['another character device', 'mknod null c 1 5'],
  ['a block device of the same numbers', 'mknod null b 1 3'],
  ['a directory', 'mkdir null'],
  ['missing', 'true'],
];

test('runc 2025-31133: where /dev/null is not the null device itself nothing is masked with it, and the start is refused', async (t) => {
  const pod = await run();
  for (const [what, script] of notNull) {
    const host = await volume(script);
    const before = await state(host);
    t.regex(await refused(pod, masking(host)), /mask|\/dev\/null/, what);
    t.is(await state(host), before, what);
  }
});

test('runc 2025-31133: a volume as /dev with the real null device masks; a file mounted over /dev/null does not', async (t) => {
  const pod = await run();
  const host = await volume('mknod -m 666 null c 1 3; echo trap >trap');
  const container = await pod.run(idle, masking(host));
  t.is((await container.exec('wc -c </proc/interrupts; wc -c </etc/passwd')).stdout, '0\n0\n');
  t.regex(
    await refused(pod, { mounts: [at('/dev/null', `${host}/trap`)], linux: { security_context: masked } }),
    /\/dev\/null/,
  );
});

test('runc 2025-31133: /dev/null that another container swaps for a link meanwhile never unmasks', async (t) => {
  const host = await volume('mknod -m 666 null c 1 3; echo trap >trap; ln -s trap link');
  const pod = await run();
  const swap = 'cd /d; while :; do mv null kept; mv link null; mv null link; mv kept null; done 2>/dev/null';
  const attacker = await pod.run(swap, { mounts: [at('/d', host)] });
  const started: TestContainer[] = [];
  for (let round = 0; round < 10; round += 1) {
    const victim = await pod.create(['sleep', '86400'], masking(host));
    await victim.start().then(
      () => started.push(victim),
      () => undefined,
    );
  }
  await attacker.stop();
  for (const victim of started) t.is((await victim.exec('cat /proc/interrupts /etc/passwd')).stdout, '');
  t.is(await readFile(`${host}/trap`, 'utf8'), 'trap\n');
});

// ---- the terminal

const hostPts = at('/dev/pts', '/dev/pts');

const notConsole: readonly (readonly [string, string])[] = [
  ['a link to a file', 'echo trap >trap; ln -s trap console'],
  ['a link that leads nowhere', 'ln -s /tmp/made console'],
  ['a link into /proc', 'ln -s /proc/sysrq-trigger console'],
  ['a directory', 'mkdir console'],
];

test('runc 2025-52565: where /dev/console is a link or a directory the terminal is not bound, and the start is refused', async (t) => {
  const pod = await run();
  for (const [what, script] of notConsole) {
    const host = await volume(`mkdir pts; ${script}`);
    const before = await state(host);
    const message = await refused(pod, { tty: true, mounts: [at('/dev', host), hostPts] });
    t.regex(message, /\/dev\/console.*(ELOOP|EISDIR)/, what);
    t.is(await state(host), before, what);
  }
});

test('runc 2025-52565: /dev/console is the terminal that the process has, and a /dev/pts that is no devpts is refused', async (t) => {
  const pod = await run();
  const script = 'stat -c "%t %T" /dev/console; stat -L -c "%t %T" /proc/self/fd/0; grep " /dev/console " /proc/mounts';
  const [console, stdin, mount] = (await pod.output(script, { tty: true })).stdout.replaceAll('\r', '').split('\n');
  t.is(console, stdin);
  t.regex(console ?? '', /^88 /);
  t.regex(mount ?? '', /^\S+ \/dev\/console devpts /);
  const host = await volume('mkdir pts; mknod -m 666 pts/ptmx c 5 2; touch console');
  t.regex(await refused(pod, { tty: true, mounts: [at('/dev', host)] }), /ptmx/);
});

// ---- writes to /proc

/** A directory for /proc: whatever the runtime might write to by its name is a file here. */
const falseProc = `mkdir -p attr/apparmor sys/kernel sys/net/ipv4 thread-self
  for f in oom_score_adj attr/current attr/exec attr/keycreate attr/apparmor/exec setgroups uid_map sys/kernel/hostname sys/net/ipv4/ip_forward; do : >$f; done
  ln -s . self; ln -s . 1; cp -r attr thread-self`;

test('runc 2025-52881: with a /proc of the request’s own nothing is written to it: start and exec reach the real one', async (t) => {
  const host = await volume(falseProc);
  const before = await state(host);
  const pod = await run();
  const linux = { resources: { oom_score_adj: 543 } };
  const container = await pod.run(idle, { mounts: [at('/proc', host)], linux });
  const score = (pid: number): Promise<string> => daemon().world.sh(`cat /proc/${pid}/oom_score_adj`);
  t.is(await score(await container.pid()), '543\n');
  const exec = container.exec(['sleep', '7310'], 0);
  const found = async () => Number((await daemon().world.run('pgrep', ['-fx', 'sleep 7310'])).stdout) || undefined;
  const pid = await until('the exec runs', found);
  t.is(await score(pid), '543\n');
  await daemon().world.sh(`kill ${pid}`);
  await exec;
  t.is(await state(host), before);
});

test('runc 2025-52881: a mount of the request behind a link of /proc is refused', async (t) => {
  const host = await volume('mkdir d; : >f');
  const pod = await run();
  for (const path of ['/proc/self/attr', '/proc/thread-self/attr', '/proc/self/oom_score_adj'])
    t.regex(await refused(pod, { mounts: [at(path, `${host}/${path.endsWith('attr') ? 'd' : 'f'}`)] }), /ELOOP/, path);
});

for (const [what, cover, path] of [
  ['a directory', 'sys/kernel', 'shm_rmid_forced'],
  ['a directory over all of it', '', 'sys/kernel/shm_rmid_forced'],
] as const)
  test(`runc 2025-52881: ${what} mounted in the host’s /proc is refused and not written to by sysctls`, async (t) => {
    const { world } = daemon();
    const trap = await volume(`mkdir -p $(dirname ${path}); : >${path}`);
    await world.sh(`mount --bind ${trap} /proc/${cover}`);
    try {
      const linux = { sysctls: { 'kernel.shm_rmid_forced': '1' } };
      await fails(t, runPod(daemon(), { linux }), 'internal', /EXDEV|not the root of a procfs/);
      t.is(await readFile(join(trap, path), 'utf8'), '');
    } finally {
      await world.sh(`umount /proc/${cover}`);
    }
  });
