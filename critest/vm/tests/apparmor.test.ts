import { mkdir, readFile, writeFile } from 'node:fs/promises';
import test from 'ava';
import type { Input, LinuxContainerSecurityContext } from '../../../api/generated/types.ts';
import type { TestDaemon } from '../../harness/daemon.ts';
import { idle, runPod, type TestContainer } from '../../harness/pods.ts';
import { fails, suiteDaemon, warmUp } from '../../harness/suite.ts';
import { until } from '../../harness/until.ts';

type Security = Input<LinuxContainerSecurityContext>;

const denyWrite = 'critest-deny-write';
const passing = 'critest-passing';
const profiles = [denyWrite, passing]
  .map(
    (name) =>
      `profile ${name} flags=(attach_disconnected) {\n  file,\n${name === denyWrite ? '  deny /tmp/** w,\n' : ''}}\n`,
  )
  .join('');

/** What apparmor_parser does with rules that come on its stdin. */
const parser = async (daemon: TestDaemon, verb: '--replace' | '--remove', rules: string): Promise<void> => {
  const ended = await daemon.world.run('apparmor_parser', [verb, '--skip-cache'], rules);
  if (ended.status !== 0) throw new Error(`apparmor_parser: ${ended.stderr}`);
};

const daemon = suiteDaemon({
  setUp: async (started) => {
    await parser(started, '--replace', profiles);
    await warmUp(started);
  },
});

const localhost = (localhost_ref: string): Security => ({ apparmor: { profile_type: 'Localhost', localhost_ref } });
const unloaded = localhost('no-such-profile');

/** As the kernel tells the machine, of the main process; the same is asserted of what an exec sees of itself. */
const profileOf = async (container: TestContainer): Promise<string> => {
  const main = (await daemon().world.sh(`cat /proc/${await container.pid()}/attr/current`)).trim();
  const exec = (await container.exec('cat /proc/self/attr/current')).stdout.trim();
  return exec === main ? main : `${main}, but an exec has ${exec}`;
};

const run = async (security_context: Security, command = idle): Promise<TestContainer> =>
  (await runPod(daemon(), { linux: { security_context: { privileged: true } } })).run(command, {
    linux: { security_context },
  });

const byDefault = 'berth-default (enforce)';

test('a container that asks for nothing, and its execs, run under the profile berth-default', async (t) => {
  const container = await run({});
  t.is(await profileOf(container), byDefault);
  const { info } = await daemon().client.ContainerStatus({ container_id: container.id, verbose: true });
  t.regex(info.info ?? '', /"apparmorProfile":"berth-default"/);
});

for (const [title, context, expected] of [
  ['RuntimeDefault', { apparmor: { profile_type: 'RuntimeDefault' } }, byDefault],
  ['the old field’s runtime/default', { apparmor_profile: 'runtime/default' }, byDefault],
  ['Unconfined', { apparmor: { profile_type: 'Unconfined' } }, 'unconfined'],
  ['the old field’s unconfined', { apparmor_profile: 'unconfined' }, 'unconfined'],
  ['Localhost', localhost(passing), `${passing} (enforce)`],
  ['the old field’s localhost/', { apparmor_profile: `localhost/${passing}` }, `${passing} (enforce)`],
  [
    'the new field before the old one',
    { ...localhost(passing), apparmor_profile: 'unconfined' },
    `${passing} (enforce)`,
  ],
  ['privileged before any profile', { ...unloaded, privileged: true }, 'unconfined'],
  ['a user, no_new_privs and a filter', { run_as_user: { value: 1000n }, no_new_privs: true, seccomp: {} }, byDefault],
] as const)
  test(`AppArmor: ${title}: ${expected}`, async (t) => {
    t.is(await profileOf(await run(context)), expected);
  });

test('in a pod with one pid namespace each container has its profile, the init of the pod has none', async (t) => {
  const pod = await runPod(daemon(), { linux: { security_context: { namespace_options: { pid: 'POD' } } } });
  const options = { namespace_options: { pid: 'POD' } } as const;
  const first = await pod.run(idle, { linux: { security_context: options } });
  const second = await pod.run(idle, { linux: { security_context: { ...options, ...localhost(passing) } } });
  t.is(await profileOf(first), byDefault);
  t.is(await profileOf(second), `${passing} (enforce)`);
  t.is((await first.exec('cat /proc/1/attr/current')).stdout.trim(), 'unconfined');
});

test('in a pod with a user namespace of its own the profile holds as well', async (t) => {
  const ids = [{ host_id: 100_000, container_id: 0, length: 65536 }];
  for (const pid of ['POD', 'CONTAINER'] as const) {
    const namespace_options = { pid, userns_options: { mode: 'POD', uids: ids, gids: ids } } as const;
    const pod = await runPod(daemon(), { linux: { security_context: { namespace_options } } });
    const linux = { security_context: { namespace_options, ...localhost(passing) } };
    t.is(await profileOf(await pod.run(idle, { linux })), `${passing} (enforce)`, pid);
    t.is(await profileOf(await pod.run(idle, { linux: { security_context: { namespace_options } } })), byDefault, pid);
  }
});

test('a profile is enforced: what it denies fails, in the container and in an exec', async (t) => {
  const script = 'touch /tmp/denied; touch /allowed && echo allowed';
  const container = await run(localhost(denyWrite), `${script}; ${idle}`);
  const { stdout, stderr } = await container.exec(script);
  t.is(stdout, 'allowed\n');
  t.regex(stderr, /\/tmp\/denied: Permission denied/);
  await until('it has told', async () => (await container.text('stdout')) === stdout);
  t.regex(await container.text('stderr'), /\/tmp\/denied: Permission denied/);
});

test('a profile that is not loaded is refused at create, in either field, and named', async (t) => {
  const pod = await runPod(daemon());
  for (const security_context of [unloaded, { apparmor_profile: 'localhost/no-such-profile' }]) {
    const call = pod.create('true', { linux: { security_context } });
    await fails(t, call, 'failed-precondition', /apparmor: profile "no-such-profile" is not loaded/);
  }
});

test('a profile that is taken out between create and start is an error of the start', async (t) => {
  const passingNow = 'critest-for-a-moment';
  const rules = `profile ${passingNow} { file, }\n`;
  await parser(daemon(), '--replace', rules);
  const container = await (await runPod(daemon())).create('true', {
    linux: { security_context: localhost(passingNow) },
  });
  await parser(daemon(), '--remove', rules);
  await t.throwsAsync(container.start(), { message: /set security label exec critest-for-a-moment: ENOENT/ });
  const { state, reason } = await container.status();
  t.deepEqual([state, reason], ['CONTAINER_EXITED', 'StartError']);
});

test('berth-default that somebody took out is loaded again for the next container', async (t) => {
  await parser(daemon(), '--remove', 'profile berth-default { }\n');
  t.is(await profileOf(await run({})), byDefault);
});

test('without apparmor_parser: what is loaded is used; else only a container that asks for the default is refused', async (t) => {
  const program = '/usr/sbin/apparmor_parser';
  const asked: Security = { apparmor: { profile_type: 'RuntimeDefault' } };
  t.is(await profileOf(await run({})), byDefault);
  await daemon().world.sh(`mv ${program} ${program}.away`);
  try {
    await daemon().killAndBoot();
    t.is(await profileOf(await run(asked)), byDefault);
    const removed = await daemon().world.run(`${program}.away`, ['--remove'], 'profile berth-default { }\n');
    t.is(removed.status, 0, removed.stderr);
    t.is(await profileOf(await run({})), 'unconfined');
    t.regex(await daemon().log(), /apparmor_parser is missing, containers that ask for no profile run without one/);
    const missing = /profile berth-default is not loaded, and \/usr\/sbin\/apparmor_parser is missing/;
    await fails(t, run(asked), 'failed-precondition', missing);
    t.is(await profileOf(await run(localhost(passing))), `${passing} (enforce)`);
  } finally {
    await daemon().world.sh(`mv ${program}.away ${program}`);
  }
});

test('berth-default denies mounts and what is the machine’s in /proc, even with CAP_SYS_ADMIN', async (t) => {
  const script = `
    mount -t tmpfs none /tmp 2>/dev/null && echo mounted
    for file in sysrq-trigger sys/kernel/domainname sys/kernel/randomize_va_space sys/vm/drop_caches sys/fs/file-max irq/default_smp_affinity; do
      [ -e /proc/$file ] && sh -c ": >>/proc/$file" 2>/dev/null && echo opened $file
    done
    head -c 1 /proc/kcore 2>/dev/null && echo read kcore
    echo looked`;
  const pod = await runPod(daemon());
  const output = async (security: Security): Promise<string> => {
    const security_context = { ...security, capabilities: { add_capabilities: ['ALL'] } };
    return (await pod.output(script, { linux: { security_context } })).stdout;
  };
  t.is(await output({}), 'looked\n');
  // The profile it is that denies them.
  t.regex(await output({ apparmor_profile: 'unconfined' }), /^mounted\nopened (?:\S+\n)+/);
});

test('berth-default lets a container be: its own processes, its ipc limits, its files, its signals', async (t) => {
  const script = `
    echo 500 >/proc/self/oom_score_adj && cat /proc/self/oom_score_adj
    echo 12345 >/proc/sys/kernel/shmmni && cat /proc/sys/kernel/shmmni
    sleep 1000 & kill -TERM $!; wait $!; echo $?
    echo text >/tmp/file && ln /tmp/file /tmp/link && cat /tmp/link
    cat /proc/1/environ >/dev/null && echo environ
    ping -c 1 -W 1 127.0.0.1 >/dev/null && echo ping`;
  const { stdout, stderr } = await (await runPod(daemon())).output(script);
  t.is(stdout, '500\n12345\n143\ntext\nenviron\nping\n', stderr);
  const container = await run({}, 'trap "exit 3" TERM; echo ready; sleep 86400 & wait');
  await until('the trap is set', async () => (await container.text()) === 'ready\n');
  await container.stop(20);
  t.is((await container.status()).exit_code, 3);
});

test('runc 2025-52881: what the container has mounted over /proc gets no label to keep', async (t) => {
  const fake = daemon().world.path('logs', 'fake-proc');
  const files = ['self', 'thread-self', '1'].map((name) => `${fake}/${name}/attr/apparmor`);
  for (const directory of files) {
    await mkdir(directory, { recursive: true });
    await writeFile(`${directory}/exec`, '');
  }
  const pod = await runPod(daemon());
  const container = await pod.run(idle, { mounts: [{ container_path: '/proc', host_path: fake }] });
  t.is(await daemon().world.sh(`cat /proc/${await container.pid()}/attr/current`), `${byDefault}\n`);
  // An exec cannot read its own label there: it waits, and the machine looks.
  const exec = container.exec('sleep 217.5; true');
  const pid = await until('it runs', async () => {
    const found = await daemon().world.sh('pgrep -x -f "sleep 217.5" || true');
    return found.trim() || undefined;
  });
  const seen = await daemon().world.sh(`cat /proc/${pid}/attr/current; kill ${pid}`);
  t.is(seen, `${byDefault}\n`);
  t.is((await exec).code, 0);
  for (const directory of files) t.is(await readFile(`${directory}/exec`, 'utf8'), '');
});
