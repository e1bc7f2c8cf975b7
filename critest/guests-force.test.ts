import { stat } from 'node:fs/promises';
import test from 'ava';
import { idle, runPod, type TestContainer } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({ config: { limits: { pids: 200 } } });

/** The container's supervisor: other processes may have its name for a moment. */
const supervisorOf = async (container: TestContainer): Promise<number> =>
  Number(await daemon().world.sh(`awk '{print $4}' /proc/${await container.pid()}/stat`));

const seconds = async (action: () => Promise<unknown>): Promise<number> => {
  const began = performance.now();
  await action();
  return (performance.now() - began) / 1000;
};

test('a fork bomb is held by the limit of pids, and its container is stopped and removed within seconds', async (t) => {
  const { world } = daemon();
  const pod = await runPod(daemon());
  // The main process forks once: a shell whose fork is refused ends.
  const bombs = 'for i in 1 2 3 4; do (while :; do sleep 1000 & (true | true) & done) & done';
  const bomb = await pod.run(`trap "" TERM; (${bombs}) 2>/dev/null & exec sleep 1000`);
  const other = await pod.run(idle);
  const pids = `/sys/fs/cgroup/pids/${world.cgroup}/${bomb.id}`;
  await until('the limit has been hit', async () => /^max [1-9]/m.test(await world.sh(`cat ${pids}/pids.events`)), 60);
  t.true(Number(await world.sh(`cat ${pids}/pids.current`)) <= 200);
  t.is((await other.exec(['true'])).code, 0);
  const took = await seconds(async () => {
    await bomb.stop(1);
    await bomb.remove();
  });
  t.true(took < 60, `${took} s`);
});

test('a container that kills all it can ends nothing but itself', async (t) => {
  const pod = await runPod(daemon());
  const other = await pod.run(idle);
  const before = await supervisorOf(other);
  const linux = { security_context: { namespace_options: { pid: 'POD' } } } as const;
  const shared = await runPod(daemon(), { linux });
  await shared.run(idle, { linux });
  for (const one of [pod, shared]) {
    const killer = await one.run('for s in 9 15 2 19 6 11; do kill -$s -1; kill -$s 1; done; exit 0', {
      linux: one === pod ? {} : linux,
    });
    await killer.stop(1);
  }
  t.is((await other.exec(['true'])).code, 0);
  t.is(await supervisorOf(other), before);
});

test('a container that fills /dev/shm gets ENOSPC at 64 MiB', async (t) => {
  const pod = await runPod(daemon());
  const { stdout } = await pod.output(
    'dd if=/dev/zero of=/dev/shm/fill bs=1M count=100 2>/dev/null; stat -c %s /dev/shm/fill; rm /dev/shm/fill',
  );
  t.is(stdout, `${64 << 20}\n`);
});

test('a container that writes as fast as it can is stopped in time, and its supervisor stays small', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('yes 0123456789012345678901234567890123456789012345678901234567890');
  const { world } = daemon();
  await until('it has written a lot', async () => (await stat(container.logFile)).size > 16 << 20, 60);
  const supervisor = await supervisorOf(container);
  t.true(Number(await world.sh(`awk '/VmRSS/ {print $2}' /proc/${supervisor}/status`)) < 2048);
  t.true((await seconds(() => container.stop(1))) < 30);
});

test('two hundred execs at once, in a container with too few pids for them, all get an answer', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const answers = await Promise.allSettled(
    Array.from({ length: 200 }, () =>
      daemon().client.ExecSync({ container_id: container.id, cmd: ['sleep', '0.5'], timeout: 20 }),
    ),
  );
  t.true(answers.some(({ status }) => status === 'fulfilled'));
  t.is((await container.exec(['true'])).code, 0);
});

test('what the kernel offers to the host alone is not to be written: sysrq, sysctls, /sys, cgroup files', async (t) => {
  const pod = await runPod(daemon());
  const files = [
    '/proc/sysrq-trigger',
    '/proc/sys/kernel/core_pattern',
    '/proc/sys/kernel/hostname',
    '/proc/sys/vm/drop_caches',
    '/proc/irq/default_smp_affinity',
    '/sys/kernel/uevent_helper',
    '/sys/power/state',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes',
    '/sys/fs/cgroup/memory/release_agent',
    '/sys/fs/cgroup/devices/devices.allow',
  ];
  const readonly_paths = ['/proc/asound', '/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
  // Opened for writing, never written: a hole would harm the machine.
  const script = `for f in ${files.join(' ')}; do [ -e $f ] && (exec 3>>$f) 2>/dev/null && echo open $f; done; true`;
  const { stdout } = await pod.output(script, { linux: { security_context: { readonly_paths } } });
  t.is(stdout, '');
});

test('each container and each exec has no controlling terminal to push input into', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(
    `(exec 3<>/dev/tty) 2>/dev/null && echo terminal; cut -d" " -f6,7 /proc/self/stat; ${idle}`,
  );
  const inExec = (
    await container.exec('(exec 3<>/dev/tty) 2>/dev/null && echo terminal; cut -d" " -f7 /proc/self/stat')
  ).stdout;
  t.is(inExec, '0\n');
  await until('it has told', async () => (await container.lines()).length > 0);
  t.notRegex(await container.text(), /terminal/);
});
