import test, { type ExecutionContext } from 'ava';
import type { Input, LinuxContainerSecurityContext } from '../api/generated/types.ts';
import { idle, runPod, type TestContainer } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';

const daemon = suiteDaemon();
type Security = Input<LinuxContainerSecurityContext>;

/** What a spy in the container sees while `births` processes of the runtime are born where it can look at them. */
const spied = async (spy: TestContainer, births: () => Promise<unknown>, seconds = 2): Promise<string> => {
  const looking = spy.exec(['spy', `${seconds * 1000}`, daemon().world.directory], seconds + 10);
  await births();
  return (await looking).stdout;
};

const seesNothing = (t: ExecutionContext, seen: string): void => {
  t.notRegex(seen, /host|part/);
  t.regex(seen, /looked [1-9]/);
};

const execs = (container: TestContainer, count: number) => async (): Promise<void> => {
  for (let i = 0; i < count; i += 1) await container.exec(['true']);
};

const users: readonly (readonly [string, Security])[] = [
  ['uid 0', {}],
  ['a normal user', { run_as_user: { value: 1000n } }],
];

for (const [who, security_context] of users) {
  test(`an exec that is being born shows ${who} nothing of the host`, async (t) => {
    const container = await (await runPod(daemon())).run(idle, { linux: { security_context } });
    seesNothing(t, await spied(container, execs(container, 100)));
  });

  test(`a container that starts in a shared pid namespace, and its init, show ${who} nothing of the host`, async (t) => {
    const namespace_options = { pid: 'POD' } as const;
    const pod = await runPod(daemon(), { linux: { security_context: { namespace_options } } });
    const linux = { security_context: { ...security_context, namespace_options } };
    const spy = await pod.run(idle, { linux });
    const starts = async (): Promise<void> => {
      for (let i = 0; i < 15; i += 1) await (await pod.run('true', { linux })).exited();
    };
    seesNothing(t, await spied(spy, starts));
  });

  test(`supervisors, the agent and execs show ${who} of a hostPID pod nothing`, async (t) => {
    const namespace_options = { pid: 'NODE' } as const;
    const pod = await runPod(daemon(), { linux: { security_context: { namespace_options } } });
    const linux = { security_context: { ...security_context, namespace_options } };
    const spy = await pod.run(idle, { linux });
    seesNothing(t, await spied(spy, execs(spy, 50)));
  });
}

const spyPod = { pid: 'POD' } as const;
const tracer = { capabilities: { add_capabilities: ['SYS_PTRACE'] } };

for (const [kind, profile] of [
  ['no', { profile_type: 'Unconfined' }],
  ['the default', { profile_type: 'RuntimeDefault' }],
] as const)
  test(`CAP_SYS_PTRACE leads neither to the host nor to CAP_SYS_ADMIN through an exec that is being born, with ${kind} filter`, async (t) => {
    const container = await (await runPod(daemon())).run(idle, {
      linux: { security_context: { ...tracer, seccomp: profile } },
    });
    const seen = await spied(container, execs(container, 100));
    t.notRegex(seen, /host|power/);
    t.regex(seen, /looked [1-9]/);
  });

test('CAP_SYS_PTRACE does not lead to the host through a container that starts in a shared pid namespace', async (t) => {
  const pod = await runPod(daemon(), { linux: { security_context: { namespace_options: spyPod } } });
  const spy = await pod.run(idle, { linux: { security_context: { ...tracer, namespace_options: spyPod } } });
  const starts = async (): Promise<void> => {
    const linux = { security_context: { namespace_options: spyPod } };
    for (let i = 0; i < 25; i += 1) await (await pod.run('true', { linux })).exited();
  };
  const seen = await spied(spy, starts, 4);
  t.notRegex(seen, /host/);
  t.regex(seen, /looked [1-9]/);
});
