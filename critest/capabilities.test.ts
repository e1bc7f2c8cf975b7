import { readFileSync } from 'node:fs';
import test from 'ava';
import type { Capability, Input } from '../api/generated/types.ts';
import { idle, runPod, type TestContainer } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

/** Which processors a process may use, of its status in /proc. */
const processorsIn = (status: string): string => /^Cpus_allowed_list:\t(\S+)$/m.exec(status)?.[1] ?? '';
const processors = processorsIn(readFileSync('/proc/self/status', 'utf8'));
const [first = '0'] = /^\d+/.exec(processors) ?? [];

// A node may keep capabilities and processors from its services (systemd's CapabilityBoundingSet= and CPUAffinity=): here all but the
// first processor, and CAP_SYS_TIME.
const daemon = suiteDaemon({ through: ['taskset', '-c', first, 'setpriv', '--bounding-set', '-sys_time'] });
const sysTime = 1n << 25n;

const bounding = async (container: TestContainer): Promise<bigint> => {
  const status = await daemon().world.sh(`cat /proc/${await container.pid()}/status`);
  return BigInt(`0x${/^CapBnd:\t(\S+)$/m.exec(status)?.[1] ?? ''}`);
};

test('a capability that the daemon lacks is refused at create in add_capabilities and add_ambient_capabilities, by name', async (t) => {
  const pod = await runPod(daemon());
  const refused: readonly Input<Capability>[] = [
    { add_capabilities: ['CAP_SYS_TIME'] },
    { add_capabilities: ['ALL', 'sys_time'] },
    { add_ambient_capabilities: ['SYS_TIME'] },
  ];
  for (const capabilities of refused) {
    const call = pod.create(idle, { linux: { security_context: { capabilities } } });
    await fails(t, call, 'failed-precondition', /capabilities: CAP_SYS_TIME: berthd itself does not have it here$/);
  }
  t.deepEqual((await daemon().client.ListContainers({})).containers, []);
});

test('what the daemon lacks is left out of ALL, and of what a privileged container has', async (t) => {
  const pod = await runPod(daemon(), { linux: { security_context: { privileged: true } } });
  const own = BigInt(`0x${(await daemon().world.sh(`grep CapBnd /proc/${daemon().pid}/status`)).slice(8).trim()}`);
  t.is(own & sysTime, 0n);
  for (const security_context of [{ capabilities: { add_capabilities: ['ALL'] } }, { privileged: true }])
    t.is(await bounding(await pod.run(idle, { linux: { security_context } })), own);
});

test('in a user namespace a container may have what the daemon lacks: it is that namespace’s own', async (t) => {
  const ids = [{ host_id: 100_000, container_id: 0, length: 65_536 }];
  const namespace_options = { pid: 'CONTAINER', userns_options: { mode: 'POD', uids: ids, gids: ids } } as const;
  const pod = await runPod(daemon(), { linux: { security_context: { namespace_options } } });
  const capabilities = { add_capabilities: ['SYS_TIME'] };
  const container = await pod.run(idle, { linux: { security_context: { namespace_options, capabilities } } });
  t.is((await bounding(container)) & sysTime, sysTime);
});

test('containers and execs use the processors of their cgroup, not those that the daemon is kept to', async (t) => {
  const { world, pid } = daemon();
  t.is(processorsIn(await world.sh(`cat /proc/${pid}/status`)), first);
  for (const kind of ['POD', 'CONTAINER'] as const) {
    const linux = { security_context: { namespace_options: { pid: kind } } };
    const container = await (await runPod(daemon(), { linux })).run(idle, { linux });
    t.is(processorsIn(await world.sh(`cat /proc/${await container.pid()}/status`)), processors);
    t.is(processorsIn((await container.exec('cat /proc/self/status')).stdout), processors);
  }
});
