import { readFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { OciNamespace } from '../../shim/oci.ts';
import { makeNamespaces, removeNamespaces } from '../../shim/sandbox.ts';
import { leavesNothing } from '../harness/leaves-nothing.ts';
import { until } from '../harness/until.ts';
import { type Container, Room } from './room.ts';

leavesNothing();

const others: readonly OciNamespace[] = (['mount', 'ipc', 'uts', 'network', 'cgroup'] as const).map((type) => ({
  type,
}));

/** Pids of the container's cgroup. */
const processes = async (container: Container): Promise<string[]> => {
  const directory = container.cgroups.find((path) => path.includes('/pids/')) ?? '';
  const text = await readFile(`${directory}/cgroup.procs`, 'utf8').catch(() => '');
  return text.split('\n').filter((pid) => pid !== '');
};

test('in the pod’s pid namespace the first process is the pod’s, and an exec sees the same ones', async (t) => {
  await using room = await Room.make();
  const pid = join(room.directory, 'pid');
  await makeNamespaces(room.agent, { pid });
  try {
    const linux = { namespaces: [...others, { type: 'pid', path: pid }] as const };
    const one = await room.start(['guest', 'wait'], { linux });
    const two = await room.start(['guest', 'sleep', '600'], { linux });
    for (const container of [one, two]) {
      const { stdout } = await container.exec(['guest', 'cat', '/proc/1/comm']);
      t.is(stdout.toString(), 'berth-init\n');
    }
    const seen = await one.exec(['guest', 'list', '/proc']);
    const pids = seen.stdout
      .toString()
      .split('\n')
      .filter((name) => /^\d+$/.test(name));
    t.is(pids.length, 4, 'init, both containers and the exec itself');
    await one.with((supervisor) => supervisor.kill(9, 'all'));
    t.is((await one.ended()).code, 137);
    t.is((await two.with((supervisor) => supervisor.state())).state, 'running');
    await two.end();
  } finally {
    await removeNamespaces(room.agent, { pid });
  }
});

test('A19: a daemon that the main process left in the host’s or the pod’s pid namespace is killed, its line closed', async (t) => {
  await using room = await Room.make();
  const pid = join(room.directory, 'pid');
  await makeNamespaces(room.agent, { pid });
  try {
    for (const namespaces of [others, [...others, { type: 'pid', path: pid } as const]]) {
      const container = await room.start(['guest', 'daemonise'], { linux: { namespaces } });
      t.like(await container.ended(), { code: 3, signal: 0 });
      t.deepEqual(await container.lines(), ['stdout F half a line']);
      t.deepEqual(await processes(container), []);
      t.deepEqual(await room.cgroupsLeft(), []);
    }
  } finally {
    await removeNamespaces(room.agent, { pid });
  }
});

test('with the host’s pid namespace all of the cgroup is killed, and nothing but it', async (t) => {
  await using room = await Room.make();
  const linux = { namespaces: others };
  const [one, two] = [await room.start(['guest', 'family'], { linux }), await room.start(['guest', 'wait'], { linux })];
  await until('the family is there', async () => (await processes(one)).length === 3);
  await one.with((supervisor) => supervisor.kill(9, 'all'));
  t.is((await one.ended()).code, 137);
  t.is((await processes(two)).length, 1);
});

/** Numbers of calls here and on arm64. */
const calls = { clone: [56, 220], getcwd: [79, 17], setsid: [112, 157] } as const;

/** One call fails with EPERM, all else is allowed. */
const filter = (refused: keyof typeof calls = 'getcwd'): Buffer => {
  const words = [
    [0x20, 0, 0, 0], // the call's number
    [0x15, 0, 1, calls[refused][arch() === 'arm64' ? 1 : 0]],
    [0x06, 0, 0, 0x0005_0001],
    [0x06, 0, 0, 0x7fff_0000],
  ] as const;
  const bytes = Buffer.alloc(8 * words.length);
  for (const [index, [code, yes, no, value]] of words.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(yes, index * 8 + 2);
    bytes.writeUInt8(no, index * 8 + 3);
    bytes.writeUInt32LE(value, index * 8 + 4);
  }
  return bytes;
};

test('a filter holds for the container and for its execs, with and without no_new_privs and for any user', async (t) => {
  await using room = await Room.make();
  const seccomp = { defaultAction: 'SCMP_ACT_ALLOW', flags: ['SECCOMP_FILTER_FLAG_SPEC_ALLOW'], syscalls: [] };
  for (const noNewPrivileges of [true, false])
    for (const uid of [0, 1000]) {
      const process = { noNewPrivileges, user: { uid, gid: uid, additionalGids: [] } };
      const container = await room.start(['guest', 'wait'], { process, bpf: filter(), linux: { seccomp } });
      t.is((await container.exec(['guest', 'cwd'])).stdout.toString(), 'Operation not permitted\n');
      const own = (await container.exec(['guest', 'cat', '/proc/self/status'])).stdout.toString();
      const { pid } = container.report();
      for (const text of [own, await readFile(room.proc(pid, 'status'), 'utf8')]) {
        t.regex(text, /^Seccomp:\t2$/m);
        t.regex(text, /^Seccomp_filters:\t1$/m);
        t.regex(text, noNewPrivileges ? /^NoNewPrivs:\t1$/m : /^NoNewPrivs:\t0$/m);
        // What was kept to load the filter with is gone: CAP_SYS_ADMIN and CAP_SETPCAP.
        const effective = BigInt(`0x${/^CapEff:\t(\S+)$/m.exec(text)?.[1] ?? 'ff'}`);
        t.is(effective & ((1n << 21n) | (1n << 8n)), 0n);
      }
    }
});

test('a filter that refuses what a birth takes holds, and its container starts, has execs and can be shared', async (t) => {
  await using room = await Room.make();
  const pid = join(room.directory, 'pid');
  await makeNamespaces(room.agent, { pid });
  try {
    for (const refused of ['clone', 'setsid'] as const)
      for (const noNewPrivileges of [true, false])
        for (const namespaces of [
          [...others, { type: 'pid' } as const],
          [...others, { type: 'pid', path: pid } as const],
        ]) {
          const seccomp = { defaultAction: 'SCMP_ACT_ALLOW', flags: [], syscalls: [] };
          const options = { process: { noNewPrivileges }, bpf: filter(refused), linux: { seccomp, namespaces } };
          const container = await room.start(['guest', 'wait'], options);
          const own = (await container.exec(['guest', 'cat', '/proc/self/status'])).stdout.toString();
          for (const text of [own, await readFile(room.proc(container.report().pid, 'status'), 'utf8')]) {
            t.regex(text, /^Seccomp:\t2$/m);
            t.is(BigInt(`0x${/^CapEff:\t(\S+)$/m.exec(text)?.[1] ?? 'ff'}`) & (1n << 21n), 0n);
          }
          await container.end();
        }
  } finally {
    await removeNamespaces(room.agent, { pid });
  }
});

test('who is born in a pid namespace of others leads a session of its own, and is the supervisor’s child', async (t) => {
  await using room = await Room.make();
  const pid = join(room.directory, 'pid');
  await makeNamespaces(room.agent, { pid });
  try {
    const linux = { namespaces: [...others, { type: 'pid', path: pid }] as const };
    const container = await room.start(['guest', 'wait'], { linux });
    const report = container.report();
    const stat = (await readFile(room.proc(report.pid, 'stat'), 'utf8')).split(' ');
    t.deepEqual(stat.slice(3, 6).map(Number), [report.supervisorPid, report.pid, report.pid]);
    const own = (await container.exec(['guest', 'cat', '/proc/self/stat'])).stdout.toString().split(' ');
    t.deepEqual(own.slice(3, 6), ['0', own[0], own[0]]);
  } finally {
    await removeNamespaces(room.agent, { pid });
  }
});
