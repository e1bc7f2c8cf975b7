import { writeFile } from 'node:fs/promises';
import test from 'ava';
import { BerthError, messageOf } from '../base/errors.ts';
import { runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

// A process for a container is born in two steps (docs/protocol.md): what may go wrong is a process too many, or none.
const daemon = suiteDaemon({ config: { limits: { pids: 8 } } });

test('two execs at the pids limit: each runs or says why not, and the container and later execs go on', async (t) => {
  const pod = await runPod(daemon());
  // The main process, five that sleep: two are left of eight, and a shell with a child needs both.
  const container = await pod.run('for i in 1 2 3 4 5; do sleep 86400 & done; trap "exit 0" TERM; wait');
  await until('all five sleep', async () => (await daemon().pidsOf('sleep')).length === 5); // it ends when it cannot fork
  for (let round = 0; round < 5; round += 1) {
    const execs = Array.from({ length: 4 }, () => container.exec(['sleep', '0.05']));
    for (const exec of await Promise.allSettled(execs))
      if (exec.status === 'fulfilled') t.is(exec.value.code, 0);
      else {
        t.true(exec.reason instanceof BerthError && exec.reason.code === 'resource-exhausted', messageOf(exec.reason));
        t.regex(messageOf(exec.reason), /clone .*: EAGAIN: its limit of processes is reached/);
      }
    t.is((await container.exec(['echo', 'on'])).stdout, 'on\n', `round ${round}`);
  }
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
});

test('a container that is full of processes runs no exec, says so, and ends when it is told to', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('trap "exit 7" TERM; for i in 1 2 3 4 5 6 7; do sleep 86400 & done; wait');
  await until('it is full', async () => (await daemon().pidsOf('sleep')).length === 7);
  await fails(t, container.exec(['true']), 'resource-exhausted', /clone .*: EAGAIN: its limit of processes is reached/);
  await container.stop(10);
  t.is((await container.status()).exit_code, 7);
});

test('under a seccomp profile that denies clone and fork a container starts, runs execs, and cannot fork', async (t) => {
  const profile = daemon().world.path('logs', 'no-clone.json');
  const denied = { names: ['clone', 'clone3', 'fork', 'vfork'], action: 'SCMP_ACT_ERRNO' };
  await writeFile(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [denied] }));
  const seccomp = { profile_type: 'Localhost', localhost_ref: profile } as const;
  const pod = await runPod(daemon());
  const container = await pod.run(['sleep', '86400'], { linux: { security_context: { seccomp } } });
  t.deepEqual(await container.exec(['echo', 'born']), { stdout: 'born\n', stderr: '', code: 0 });
  const forked = await container.exec('true & wait; /bin/true; echo not reached');
  t.regex(forked.stderr, /can't fork|Operation not permitted/);
  const { reason, exit_code } = (await pod.output('sleep 1 & echo $?', { linux: { security_context: { seccomp } } }))
    .status;
  t.not(exit_code, 0, reason);
  await container.stop(0);
  t.is((await container.status()).exit_code, 137);
});
