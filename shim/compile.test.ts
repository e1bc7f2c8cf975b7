import test from 'ava';
import { BerthError } from '../base/errors.ts';
import { type BundleInput, compilePlan, seccompMask } from './compile.ts';
import { compileExec } from './compile-exec.ts';
import type { KernelFeatures } from './features.ts';
import type { OciMount, OciProcess, OciSpec } from './oci.ts';
import { Op } from './protocol.ts';
import type { UserNamespace } from './user-namespace.ts';

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

test('without a cgroup namespace v2’s mount of the host is bound, since a new one would set its options', (t) => {
  const mounts = [{ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['rw', 'nosuid'] }];
  const cgroup = { make: [], writes: [], join: [], mount: '/host/cgroup' };
  const host = compile(specOf({ mounts }), { cgroup });
  t.deepEqual(named(host, 'MOUNT_FS'), []);
  t.is(text(one(t, host, 'OPEN_MOUNT'), 1), '/host/cgroup');
  t.is(text(one(t, host, 'MOUNT_SLOT'), 1), '/sys/fs/cgroup');
  const own = compile(specOf({ mounts }, { namespaces: [{ type: 'mount' }, { type: 'cgroup' }] }), { cgroup });
  t.is(text(one(t, own, 'MOUNT_FS'), 0), 'cgroup2');
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

const ids = (hostID: number, size = 65536) => [{ containerID: 0, hostID, size }];
const inUser = (changes: Partial<OciSpec> = {}, linux: Partial<OciSpec['linux']> = {}): OciSpec =>
  specOf(changes, {
    namespaces: [{ type: 'user', path: '/u' }, { type: 'pid' }, { type: 'network', path: '/n' }, { type: 'cgroup' }],
    uidMappings: ids(1000),
    gidMappings: ids(2000),
    ...linux,
  });
const fileSystem = (destination: string, type: string): OciMount => ({ destination, type, source: type, options: [] });

test('in a user namespace all that needs the host’s rights comes before they are given up', (t) => {
  const mounts = [
    fileSystem('/proc', 'proc'),
    fileSystem('/dev', 'tmpfs'),
    fileSystem('/dev/pts', 'devpts'),
    fileSystem('/sys', 'sysfs'),
    { destination: '/data', type: 'bind', source: '/host', options: ['rbind'] },
  ];
  const rlimits = [{ type: 'RLIMIT_NOFILE', soft: 1, hard: 2 }];
  const plan = decode(compile(inUser({ mounts, process: { ...process, rlimits } })));
  const names = plan.map(({ name }) => name).filter((name, index, all) => name !== all[index - 1]);
  t.deepEqual(names, [
    ...['STDIO', 'SET_PID_NS', 'CLONE', 'JOIN_NS', 'USER_NS', 'OVERLAY', 'OPEN_MOUNT', 'OPEN_FS', 'NODES', 'MKNOD'],
    ...['RLIMIT', 'OWN_STREAMS', 'JOIN_USER', 'OPEN_FS', 'ENTER_ROOT', 'MOUNT_SLOT', 'MOUNT_FS', 'MOUNT_SLOT'],
    ...['SYMLINK', 'CWD', 'NO_NEW_PRIVS', 'CREDENTIALS', 'EXEC'],
  ]);
  const of = (name: string): Operation[] => plan.filter((operation) => operation.name === name);
  const made = of('OPEN_FS').map((operation) => [text(operation, 1), number(operation, 0)]);
  t.deepEqual(made, [
    ['sysfs', 1],
    ['tmpfs', 2],
    ['proc', 3],
  ]);
  t.deepEqual(of('OPEN_FS')[1]?.fields.slice(4).map(String), ['uid=1000', 'gid=2000']);
  const slots = new Map(of('MOUNT_SLOT').map((operation) => [text(operation, 1), number(operation, 0)]));
  t.deepEqual(Object.fromEntries(slots), { '/proc': 3, '/dev': 2, '/sys': 1, '/data': 0 });
  t.is(number(of('NODES')[0] ?? { name: '', fields: [] }, 0), 2);
});

test('in a user namespace a pid namespace of the container’s own is made by its root, and a joined one is joined', (t) => {
  const own = compile(inUser());
  t.is(text(one(t, own, 'SET_PID_NS'), 0), '');
  t.is(number(one(t, own, 'CLONE'), 0), 0);
  t.is(number(one(t, own, 'JOIN_USER'), 0), 0x20000000 | 0x02000000);
  const namespaces = [
    { type: 'user', path: '/u' },
    { type: 'pid', path: '/p' },
  ] as const;
  const joined = compile(inUser({}, { namespaces }));
  t.is(text(one(t, joined, 'SET_PID_NS'), 0), '/p');
  t.is(number(one(t, joined, 'JOIN_USER'), 0), 0);
});

test('in a user namespace devices have mapped owners, and those that are the host’s keep theirs', (t) => {
  const device = { type: 'c', major: 9, minor: 1, fileMode: 0o660, uid: 7, gid: 70_000 } as const;
  const devices = [
    { ...device, path: '/dev/a' },
    { ...device, path: '/dev/b/c', hostOwned: true },
    { ...device, path: '/elsewhere' },
  ];
  const plan = compile(inUser({ mounts: [fileSystem('/dev', 'tmpfs')] }, { devices }));
  const nodes = decode(plan).filter(({ name }) => name === 'MKNOD' || name === 'NODES');
  const owner = (operation: Operation | undefined): number[] | undefined =>
    operation && [number(operation, 4), number(operation, 5)];
  const at = (path: string): Operation | undefined => nodes.find((operation) => text(operation, 0) === path);
  t.deepEqual(
    owner(at('/a')),
    [1007, 0],
    'a group that is not mapped becomes the host’s root, who is not mapped either',
  );
  t.deepEqual(owner(at('/b/c')), [7, 70_000]);
  t.deepEqual(owner(at('/null')), [1000, 2000]);
  t.deepEqual([nodes[0]?.name, nodes[1]?.name], ['MKNOD', 'NODES'], 'what is not in /dev is made in the root');
  t.is(text(nodes[0] ?? { name: '', fields: [] }, 0), '/elsewhere');
});

test('a mount has its ids mapped where it says so, and only by the container’s own mapping', (t) => {
  const mount = { destination: '/data', type: 'bind', source: '/host', options: ['rbind'] };
  const attributes = (changes: Partial<OciMount>): number =>
    number(one(t, compile(inUser({ mounts: [{ ...mount, ...changes }] })), 'OPEN_MOUNT'), 4);
  t.is(attributes({}), 0);
  t.is(attributes({ uidMappings: ids(1000), gidMappings: ids(2000) }), 0x100000);
  t.throws(() => attributes({ uidMappings: ids(1000), gidMappings: ids(1000) }), { message: /\/data: id mappings/ });
  t.throws(() => compile(specOf({ mounts: [{ ...mount, uidMappings: ids(1000), gidMappings: ids(2000) }] })), {
    message: /\/data: id mappings/,
  });
});

test('a user namespace without a path, or with other mappings than one that begins with 0, is refused', (t) => {
  const refused = (linux: Partial<OciSpec['linux']>, message: RegExp): void => {
    t.throws(() => compile(inUser({}, linux)), { code: 'invalid-argument', message });
  };
  refused({ namespaces: [{ type: 'user' }] }, /without a path/);
  refused({ uidMappings: [] }, /uidMappings: one mapping/);
  refused({ gidMappings: [...ids(1, 1), ...ids(2, 1)] }, /gidMappings: one mapping/);
  refused({ gidMappings: [{ containerID: 1, hostID: 1, size: 1 }] }, /gidMappings/);
  refused({ namespaces: [{ type: 'user', path: '/u' }, { type: 'network' }] }, /network namespace without a path/);
});

test('an exec joins the user namespace with the others, when it has its limits and its pipes', (t) => {
  const rlimits = [{ type: 'RLIMIT_NOFILE', soft: 1, hard: 2 }];
  const user = { path: '/u', uids: ids(1000)[0], gids: ids(2000)[0] } as const;
  const { namespaces } = inUser().linux;
  const options = { namespaces, join: [], user: user as UserNamespace };
  const plan = compileExec({ ...process, rlimits, user: { uid: 5, gid: 6, additionalGids: [] } }, options);
  t.deepEqual(
    decode(plan).map(({ name }) => name),
    ['CLONE', 'RLIMIT', 'OWN_STREAMS', 'JOIN_CONTAINER', 'UNSHARE', 'CWD', 'NO_NEW_PRIVS', 'CREDENTIALS', 'EXEC'],
  );
  t.is(number(one(t, plan, 'OWN_STREAMS'), 0), 1005);
  t.is(number(one(t, plan, 'JOIN_CONTAINER'), 0), 0x10000000 | 0x40000000 | 0x00020000);
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
