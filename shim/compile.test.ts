import test from 'ava';
import { BerthError } from '../base/errors.ts';
import { type BundleInput, compilePlan, seccompMask } from './compile.ts';
import { compileExec } from './compile-exec.ts';
import type { KernelFeatures } from './features.ts';
import type { OciMount, OciProcess, OciSpec } from './oci.ts';
import { Op } from './protocol.ts';

interface Operation {
  readonly name: string;
  readonly fields: readonly Buffer[];
}

/** Reads a plan as the native side does (native/plan.c). */
const decode = (plan: Buffer): Operation[] => {
  const names = new Map<number, string>(Object.entries(Op).map(([name, code]) => [code, name]));
  const operations: Operation[] = [];
  let at = 12;
  while (at < plan.length) {
    const name = names.get(plan.readUInt16LE(at)) ?? 'unknown';
    const count = plan.readUInt16LE(at + 2);
    at += 4;
    const fields: Buffer[] = [];
    for (let field = 0; field < count; field += 1) {
      const length = plan.readUInt32LE(at);
      fields.push(plan.subarray(at + 4, at + 4 + length));
      at += length + 5;
    }
    operations.push({ name, fields });
  }
  return operations;
};

const text = ({ fields }: Operation, index: number): string => fields[index]?.toString() ?? '';
const number = ({ fields }: Operation, index: number): number => Number(fields[index]?.readBigUInt64LE() ?? -1n);
const named = (plan: Buffer, name: string): Operation[] => decode(plan).filter((operation) => operation.name === name);
const one = (t: { fail(message: string): void }, plan: Buffer, name: string): Operation => {
  const found = named(plan, name);
  if (found.length !== 1) t.fail(`${found.length} operations ${name}`);
  return found[0] ?? { name, fields: [] };
};

const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
const process: OciProcess = {
  terminal: false,
  user: { uid: 0, gid: 0, additionalGids: [] },
  args: ['sh', '-c', 'true'],
  env: ['A=1'],
  cwd: '/',
  capabilities: none,
  rlimits: [],
  noNewPrivileges: true,
};
const features: KernelFeatures = {
  lowerdirPlus: true,
  overlayNewApi: true,
  cgroupKill: true,
  cloneIntoCgroup: true,
  recursiveReadOnly: true,
  idmappedOverlayLower: true,
  memfdExec: true,
};
const specOf = (changes: Partial<OciSpec> = {}, linux: Partial<OciSpec['linux']> = {}): OciSpec => ({
  ociVersion: '1.2.0',
  root: { path: 'rootfs', readonly: false },
  annotations: {},
  mounts: [],
  process,
  linux: {
    namespaces: [{ type: 'pid' }, { type: 'mount' }],
    devices: [],
    cgroupsPath: '/pod/id',
    resources: { devices: [] },
    maskedPaths: [],
    readonlyPaths: [],
    ...linux,
  },
  ...changes,
});
const inputOf = (spec: OciSpec, changes: Partial<BundleInput> = {}): BundleInput => ({
  spec,
  root: { lowers: ['/l/2', '/l/1'], upper: '/u', work: '/w', volatile: true },
  stdin: false,
  stdinOnce: false,
  cgroup: { make: [], writes: [], join: [] },
  features,
  ...changes,
});
const compile = (spec: OciSpec, changes: Partial<BundleInput> = {}): Buffer => compilePlan(inputOf(spec, changes));
const withMount = (mount: OciMount): Buffer => compile(specOf({ mounts: [mount] }));

test('a plan begins with its mark, version and number of operations', (t) => {
  const plan = compile(specOf());
  t.is(plan.subarray(0, 4).toString(), 'BPLN');
  t.is(plan.readUInt32LE(4), 1);
  t.is(plan.readUInt32LE(8), decode(plan).length);
});

test('the order of a start is: host side, clone, cgroup, namespaces, sources, root, inside, credentials, exec', (t) => {
  const mounts = [{ destination: '/data', type: 'bind', source: '/host', options: ['rbind'] }];
  const spec = specOf(
    { mounts, root: { path: 'rootfs', readonly: true } },
    { maskedPaths: ['/proc/keys'], namespaces: [{ type: 'pid' }, { type: 'network', path: '/n' }, { type: 'cgroup' }] },
  );
  const cgroup = { make: [{ directory: '/c', version: 1 as const }], writes: [], join: ['/c/tasks'] };
  const names = decode(compile(spec, { cgroup, bpf: Buffer.alloc(8) })).map(({ name }) => name);
  const order = names.filter((name) => !['MKNOD', 'SYMLINK', 'STDIO'].includes(name));
  t.deepEqual(order, [
    ...['CGROUP_MAKE', 'CLONE', 'CGROUP_JOIN', 'JOIN_NS', 'UNSHARE', 'OVERLAY', 'OPEN_MOUNT', 'ENTER_ROOT'],
    ...['MOUNT_SLOT', 'MASK', 'CWD', 'ROOT_READ_ONLY', 'NO_NEW_PRIVS', 'CREDENTIALS', 'SECCOMP', 'EXEC'],
  ]);
});

test('layers keep their order, topmost first, and without lowerdir+ the other method is used', (t) => {
  const overlay = one(t, compile(specOf()), 'OVERLAY');
  t.deepEqual([number(overlay, 0), number(overlay, 1)], [1, 0]);
  t.deepEqual(overlay.fields.slice(2).map(String), ['/u', '/w', '/l/2', '/l/1']);
  for (const missing of ['lowerdirPlus', 'overlayNewApi'])
    t.is(number(one(t, compile(specOf(), { features: { ...features, [missing]: false } }), 'OVERLAY'), 1), 1);
});

test('a new pid namespace is cloned, one with a path is joined before, none is the host’s', (t) => {
  t.is(number(one(t, compile(specOf()), 'CLONE'), 0), 0x20000000);
  const joined = compile(specOf({}, { namespaces: [{ type: 'pid', path: '/p' }] }));
  t.is(text(one(t, joined, 'SET_PID_NS'), 0), '/p');
  t.is(number(one(t, joined, 'CLONE'), 0), 0);
  const host = compile(specOf({}, { namespaces: [] }));
  t.is(named(host, 'SET_PID_NS').length, 0);
  t.is(number(one(t, host, 'CLONE'), 0), 0);
});

test('on v2 the process is cloned into its cgroup, and joins it by cgroup.procs where the kernel cannot', (t) => {
  const cgroup = { make: [{ directory: '/c/id', version: 2 as const }], writes: [], join: [], into: '/c/id' };
  t.is(text(one(t, compile(specOf(), { cgroup }), 'CLONE'), 1), '/c/id');
  const without = compile(specOf(), { cgroup, features: { ...features, cloneIntoCgroup: false } });
  t.is(text(one(t, without, 'CLONE'), 1), '');
  t.is(text(one(t, without, 'CGROUP_JOIN'), 0), '/c/id/cgroup.procs');
});

test('a bind mount is private unless told otherwise, and carries its attributes', (t) => {
  const open = (options: string[]): number[] => {
    const operation = one(t, withMount({ destination: '/d', type: 'bind', source: '/s', options }), 'OPEN_MOUNT');
    return [2, 3, 4, 5].map((index) => number(operation, index));
  };
  t.deepEqual(open(['bind']), [0, 1 << 18, 0, 0]);
  t.deepEqual(open(['rbind', 'rslave', 'ro', 'nosuid']), [1, 1 << 19, 3, 0]);
  t.deepEqual(open(['rbind', 'rshared', 'rro']), [1, 1 << 20, 0, 1]);
});

test('an option that a bind mount does not have is refused', (t) => {
  const mount = { destination: '/d', type: 'bind', source: '/s', options: ['bind', 'size=1'] };
  t.throws(() => withMount(mount), { instanceOf: BerthError, message: /mount \/d: option size=1/ });
});

test('a file system gets its own options, and the flags become attributes', (t) => {
  const tmpfs = { destination: '/t', type: 'tmpfs', source: '', options: ['nosuid', 'nodev', 'mode=755', 'size=64k'] };
  const operation = one(t, withMount(tmpfs), 'MOUNT_FS');
  t.deepEqual(operation.fields.slice(0, 3).map(String), ['tmpfs', 'tmpfs', '/t']);
  t.is(number(operation, 3), 6);
  t.deepEqual(operation.fields.slice(4).map(String), ['mode=755', 'size=64k']);
});

test('a file system that the runtime does not know is refused', (t) => {
  const mount = { destination: '/x', type: 'ext4', source: '/dev/sda1', options: [] };
  t.throws(() => withMount(mount), { message: 'mount /x: type ext4 is not known' });
});

test('v1 binds the container’s directory of each hierarchy below one tmpfs, v2 makes one mount', (t) => {
  const mounts = [{ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro', 'nosuid'] }];
  const make = ['/m/cpu,cpuacct', '/m/systemd'].map((path) => ({ directory: `${path}/pod/id`, version: 1 as const }));
  const v1 = compile(specOf({ mounts }, { cgroupsPath: '/pod/id' }), { cgroup: { make, writes: [], join: [] } });
  t.deepEqual(one(t, v1, 'MOUNT_FS').fields.slice(0, 3).map(String), ['tmpfs', 'cgroup', '/sys/fs/cgroup']);
  const opened = named(v1, 'OPEN_MOUNT').map((open) => [text(open, 1), number(open, 2), number(open, 4)]);
  t.deepEqual(opened, [
    ['/m/cpu,cpuacct/pod/id', 0, 3],
    ['/m/systemd/pod/id', 0, 3],
  ]);
  const slots = named(v1, 'MOUNT_SLOT').map((slot) => [number(slot, 0), text(slot, 1)]);
  t.deepEqual(slots, [
    [0, '/sys/fs/cgroup/cpu,cpuacct'],
    [1, '/sys/fs/cgroup/systemd'],
  ]);
  const names = decode(v1).map(({ name }) => name);
  t.true(names.indexOf('MOUNT_ATTRIBUTES') > names.lastIndexOf('MOUNT_SLOT'));
  t.is(number(one(t, v1, 'MOUNT_ATTRIBUTES'), 1), 1);
  t.deepEqual(named(v1, 'READ_ONLY_PATH'), []);
  const v2 = one(t, compile(specOf({ mounts })), 'MOUNT_FS');
  t.deepEqual([text(v2, 0), text(v2, 2), number(v2, 3)], ['cgroup2', '/sys/fs/cgroup', 3]);
});

test('/dev gets the standard devices and links, and a device of the spec replaces one of the same path', (t) => {
  const device = { path: '/dev/null', type: 'c', major: 9, minor: 9, fileMode: 0o600, uid: 1, gid: 2 } as const;
  const plan = compile(specOf({}, { devices: [device] }));
  t.deepEqual(
    named(plan, 'MKNOD').map((operation) => text(operation, 0)),
    ['/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/tty'],
  );
  const first = named(plan, 'MKNOD')[0] ?? { name: '', fields: [] };
  t.deepEqual(
    [1, 2, 3, 4, 5].map((index) => number(first, index)),
    [0o020600, 9, 9, 1, 2],
  );
  t.deepEqual(
    named(plan, 'SYMLINK').map((operation) => text(operation, 1)),
    ['/dev/fd', '/dev/stdin', '/dev/stdout', '/dev/stderr', '/dev/ptmx'],
  );
});

test('a /dev that is bound from the host is left as it is', (t) => {
  const plan = withMount({ destination: '/dev', type: 'bind', source: '/dev', options: ['rbind'] });
  t.is(named(plan, 'MKNOD').length + named(plan, 'SYMLINK').length, 0);
});

test('capabilities become masks and groups four bytes each', (t) => {
  const capabilities = { ...none, bounding: ['CAP_CHOWN', 'CAP_CHECKPOINT_RESTORE'], ambient: ['CAP_NET_RAW'] };
  const user = { uid: 1000, gid: 100, additionalGids: [7, 65536] };
  const operation = one(t, compile(specOf({ process: { ...process, capabilities, user } })), 'CREDENTIALS');
  t.deepEqual([number(operation, 0), number(operation, 1)], [1000, 100]);
  t.deepEqual([...(operation.fields[2] ?? [])], [7, 0, 0, 0, 0, 0, 1, 0]);
  t.deepEqual(
    [3, 4, 7].map((index) => number(operation, index)),
    [2 ** 40 + 1, 0, 2 ** 13],
  );
});

test('what is no capability, no limit, or an id that means "unchanged" to the kernel is refused', (t) => {
  const refused = (changes: Partial<OciProcess>): void => {
    t.throws(() => compile(specOf({ process: { ...process, ...changes } })), { instanceOf: BerthError });
  };
  refused({ capabilities: { ...none, bounding: ['CAP_NOTHING'] } });
  refused({ rlimits: [{ type: 'RLIMIT_X', soft: 1, hard: 1 }] });
  for (const uid of [-1, 1.5, 0xffff_ffff, 2 ** 32]) refused({ user: { uid, gid: 0, additionalGids: [] } });
  refused({ args: [] });
  refused({ args: ['a\0b'] });
});

test('an unlimited limit is all ones', (t) => {
  const rlimits = [{ type: 'RLIMIT_CORE', soft: 0, hard: -1 }];
  const operation = one(t, compile(specOf({ process: { ...process, rlimits } })), 'RLIMIT');
  t.is(number(operation, 0), 4);
  t.is(operation.fields[2]?.readBigUInt64LE(), 0xffff_ffff_ffff_ffffn);
});

test('arguments are bytes: what is no UTF-8 comes back as it was', (t) => {
  const args = ['sh', '\udcff'];
  const exec = one(t, compile(specOf({ process: { ...process, args } })), 'EXEC');
  t.is(number(exec, 0), 2);
  t.deepEqual([...(exec.fields[2] ?? [])], [0xff]);
  t.is(text(exec, 3), 'A=1');
});

test('a path with a zero byte is refused wherever it stands', (t) => {
  const bad = '/a\0b';
  const refused = (plan: () => Buffer): void => {
    t.throws(plan, { instanceOf: BerthError, message: /zero byte/ });
  };
  refused(() => withMount({ destination: bad, type: 'tmpfs', source: '', options: [] }));
  refused(() => withMount({ destination: '/d', type: 'bind', source: bad, options: ['bind'] }));
  refused(() => compile(specOf({}, { maskedPaths: [bad] })));
  refused(() => compile(specOf({ process: { ...process, cwd: bad } })));
  refused(() => compile(specOf(), { log: { path: bad, directory: '/logs' } }));
});

test('a user namespace is refused, not ignored', (t) => {
  t.throws(() => compile(specOf({}, { namespaces: [{ type: 'user' }] })), { message: /user namespaces/ });
});

test('an exec joins the container’s own namespaces, never pid or user, and has a cgroup namespace of its own', (t) => {
  const namespaces = [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc', path: '/i' }, { type: 'cgroup' }] as const;
  const plan = compileExec(process, { namespaces, join: ['/c/tasks'], bpf: Buffer.alloc(8) });
  const names = decode(plan).map(({ name }) => name);
  t.deepEqual(names, [
    ...['CLONE', 'CGROUP_JOIN', 'JOIN_CONTAINER', 'UNSHARE', 'CWD', 'NO_NEW_PRIVS', 'CREDENTIALS', 'SECCOMP', 'EXEC'],
  ]);
  t.is(number(one(t, plan, 'JOIN_CONTAINER'), 0), 0x00020000 + 0x08000000);
  t.is(number(one(t, plan, 'UNSHARE'), 0), 0x02000000);
  const privileged = compileExec(process, { namespaces: namespaces.slice(0, 3), join: [] });
  t.deepEqual(named(privileged, 'UNSHARE'), [], 'who sees the host’s cgroups goes on to see them');
});

test('an exec in a v2 cgroup is cloned into it', (t) => {
  const plan = compileExec(process, { namespaces: [], join: [], into: '/c/id' });
  t.is(text(one(t, plan, 'CLONE'), 1), '/c/id');
});

test('an exec loads its filter with the flags of the container’s', (t) => {
  const flags = ['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'];
  const spec = specOf({}, { seccomp: { defaultAction: 'SCMP_ACT_ALLOW', flags, syscalls: [] } });
  const bpf = Buffer.alloc(8);
  const own = number(one(t, compile(spec, { bpf }), 'SECCOMP'), 0);
  const plan = compileExec(process, { namespaces: [], join: [], bpf, seccompFlags: seccompMask(spec) });
  t.deepEqual([own, number(one(t, plan, 'SECCOMP'), 0)], [6, 6]);
});
