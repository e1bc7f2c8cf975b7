import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import test from 'ava';
import type { OciResources } from '../../shim/oci.ts';
import { cgroupFor, containerCgroup } from './container.ts';
import { checkV2Cpuset } from './cpuset.ts';
import type { CgroupMode } from './mode.ts';
import { cgroupParent } from './parent.ts';
import { cgroupsPathOf, placeOf } from './place.ts';
import { cpuWeight } from './v2.ts';

const hierarchy = (name: string) => ({ mount: `/cg/${name}`, controllers: name.split(',') });
const v1: CgroupMode = {
  version: 1,
  hybrid: true,
  hierarchies: ['cpu,cpuacct', 'cpuset', 'memory', 'devices', 'pids', 'name=systemd'].map(hierarchy),
  unified: undefined,
  swap: true,
};
const v2: CgroupMode = {
  version: 2,
  hybrid: false,
  hierarchies: [],
  unified: { mount: '/cg', controllers: ['cpuset', 'cpu', 'memory', 'pids', 'rdma'] },
  swap: true,
};
const path = '/kube/pod/id';
const nothing: OciResources = { devices: [] };
const root = { cpus: '0-3', mems: '0' };
const empty = { cpus: '', mems: '' };
const lines = (mode: CgroupMode, resources: Partial<OciResources>, cpusets = [root, empty, empty]): string[] =>
  cgroupFor(mode, path, { ...nothing, ...resources }, cpusets).writes.map(
    ({ file, value }) => `${file.replace('/cg', '')} ${value}`,
  );

test('v1 makes and joins a directory in every hierarchy', (t) => {
  const { make, join, into } = cgroupFor(v1, path, nothing, []);
  t.is(make.length, 6);
  t.deepEqual(make[0], { directory: '/cg/cpu,cpuacct/kube/pod/id', version: 1 });
  t.deepEqual(
    join,
    make.map(({ directory }) => `${directory}/tasks`),
  );
  t.is(into, undefined);
});

test('v2 makes one directory, into which the process is cloned', (t) => {
  const { make, join, into } = cgroupFor(v2, path, nothing, []);
  t.deepEqual([make, join, into], [[{ directory: '/cg/kube/pod/id', version: 2 }], [], '/cg/kube/pod/id']);
});

test('the memory limit is written before memory and swap together', (t) => {
  t.deepEqual(lines(v1, { memory: { limit: 10, swap: 20 } }, []), [
    '/memory/kube/pod/id/memory.limit_in_bytes 10',
    '/memory/kube/pod/id/memory.memsw.limit_in_bytes 20',
  ]);
});

test('swap is not limited where the kernel does not count it', (t) => {
  t.deepEqual(lines({ ...v1, swap: false }, { memory: { limit: 10, swap: 20 } }, []), [
    '/memory/kube/pod/id/memory.limit_in_bytes 10',
  ]);
});

test('cpu and pids limits of v1', (t) => {
  t.deepEqual(lines(v1, { cpu: { shares: 512, quota: 5000 }, pids: { limit: 9 } }, []), [
    '/cpu,cpuacct/kube/pod/id/cpu.shares 512',
    '/cpu,cpuacct/kube/pod/id/cpu.cfs_period_us 100000',
    '/cpu,cpuacct/kube/pod/id/cpu.cfs_quota_us 5000',
    '/pids/kube/pod/id/pids.max 9',
  ]);
});

test('every new v1 cpuset on the way is filled before the container’s', (t) => {
  t.deepEqual(
    lines(v1, {}),
    ['kube', 'kube/pod', 'kube/pod/id'].flatMap((directory) => [
      `/cpuset/${directory}/cpuset.cpus 0-3`,
      `/cpuset/${directory}/cpuset.mems 0`,
    ]),
  );
});

test('a cpuset that somebody set is kept and inherited', (t) => {
  const written = lines(v1, { cpu: { cpus: '2' } }, [root, { cpus: '2-3', mems: '' }, empty]);
  t.deepEqual(
    written,
    [
      '/kube/cpuset.mems 0',
      '/kube/pod/cpuset.cpus 2-3',
      '/kube/pod/cpuset.mems 0',
      '/kube/pod/id/cpuset.cpus 2',
      '/kube/pod/id/cpuset.mems 0',
    ].map((line) => `/cpuset${line}`),
  );
});

test('v1: processors and memory nodes that the parent does not have are refused by the field’s name', (t) => {
  const states = [root, { cpus: '2-3', mems: '0' }, empty];
  t.notThrows(() => lines(v1, { cpu: { cpus: '3' } }, states));
  t.throws(() => lines(v1, { cpu: { cpus: '1-2' } }, states), {
    code: 'failed-precondition',
    message: /^cpuset_cpus: 1-2 is not within 2-3/,
  });
  t.throws(() => lines(v1, { cpu: { mems: '1' } }, states), { message: /^cpuset_mems: 1 is not within 0/ });
});

test('v2: the same, of the nearest directory that is there, which the kernel would give instead', async (t) => {
  const mount = await mkdtemp('/tmp/berth-cpuset-');
  t.teardown(() => rm(mount, { recursive: true }));
  const at = async (path: string, cpus: string): Promise<void> => {
    await mkdir(mount + path, { recursive: true });
    await writeFile(`${mount}${path}/cpuset.cpus.effective`, `${cpus}\n`);
    await writeFile(`${mount}${path}/cpuset.mems.effective`, '0\n');
  };
  await at('', '0-7');
  await at('/kube', '0-3');
  t.notThrows(() => checkV2Cpuset(mount, '/other/pod', { cpus: '4-7', mems: '0' }));
  t.notThrows(() => checkV2Cpuset(mount, '/kube/pod', { cpus: '0,3' }));
  t.throws(() => checkV2Cpuset(mount, '/kube/pod', { cpus: '3-4' }), {
    code: 'failed-precondition',
    message: /^cpuset_cpus: 3-4 is not within 0-3/,
  });
  t.throws(() => checkV2Cpuset(mount, '/kube', { mems: '1' }), { message: /^cpuset_mems/ });
});

test('huge pages are limited together with what is reserved, and none is kept where the size is not there', (t) => {
  const hugetlb = { mount: '/cg/hugetlb', controllers: ['hugetlb'] };
  const modes = [
    { ...v1, hierarchies: [hugetlb] },
    { ...v2, unified: { mount: '/cg', controllers: ['hugetlb'] } },
  ];
  const hugepageLimits = [
    { pageSize: '2MB', limit: 4 },
    { pageSize: '1GB', limit: 0 },
  ];
  for (const [index, mode] of modes.entries()) {
    const { writes } = cgroupFor(mode, path, { ...nothing, hugepageLimits }, []);
    const name = index === 0 ? 'limit_in_bytes' : 'max';
    t.deepEqual(
      writes
        .filter(({ file }) => file.includes('hugetlb.'))
        .map(({ file, value, optional }) => [basename(file), value, optional]),
      [
        [`hugetlb.2MB.${name}`, '4', undefined],
        [`hugetlb.2MB.rsvd.${name}`, '4', true],
        [`hugetlb.1GB.${name}`, '0', true],
        [`hugetlb.1GB.rsvd.${name}`, '0', true],
      ],
    );
  }
});

test('v1 devices are denied all before some are allowed', (t) => {
  const devices = [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' },
    { allow: true, type: 'b', access: 'm' },
  ] as const;
  t.deepEqual(
    lines(v1, { devices }, []),
    ['deny a', 'allow c 1:3 rwm', 'allow b *:* m'].map((line) => `/devices/kube/pod/id/devices.${line}`),
  );
});

test('a container with all devices keeps its parent’s list', (t) => {
  t.deepEqual(lines(v1, { devices: [{ allow: true, access: 'rwm' }] }, []), []);
});

test('v2 hands the controllers down from the root before it limits', (t) => {
  t.deepEqual(
    lines(v2, { memory: { limit: 10, swap: 30 }, cpu: { shares: 1024, quota: -1, cpus: '0' }, pids: { limit: 5 } }),
    [
      '/cgroup.subtree_control +cpuset +cpu +memory +pids',
      '/kube/cgroup.subtree_control +cpuset +cpu +memory +pids',
      '/kube/pod/cgroup.subtree_control +cpuset +cpu +memory +pids',
      ...[
        'memory.swap.max 20',
        'memory.max 10',
        'cpu.weight 100',
        'cpu.max max 100000',
        'cpuset.cpus 0',
        'pids.max 5',
      ].map((line) => `${path}/${line}`),
    ],
  );
});

test('no limit is max on v2, and unified comes last', (t) => {
  const written = lines(v2, { memory: { limit: -1, swap: -1 }, unified: { 'memory.max': '7' } }).slice(3);
  t.deepEqual(
    written,
    ['memory.swap.max max', 'memory.max max', 'memory.max 7'].map((line) => `${path}/${line}`),
  );
});

test('shares become weights on a curve through minimum, default and maximum', (t) => {
  t.deepEqual([2, 1024, 262144, 0, 999999].map(cpuWeight), [1, 100, 10000, 1, 10000]);
  for (let shares = 3; shares < 262144; shares += 97) t.true(cpuWeight(shares) >= cpuWeight(shares - 1));
});

test('a limit whose controller is not there is an error, a hugepage limit of zero is not', (t) => {
  const noPids = { ...v1, hierarchies: v1.hierarchies.filter(({ mount }) => !mount.includes('pids')) };
  t.throws(() => lines(noPids, { pids: { limit: 1 } }, []), { code: 'failed-precondition', message: /pids/ });
  t.notThrows(() => lines(v1, { hugepageLimits: [{ pageSize: '2MB', limit: 0 }] }, []));
  for (const mode of [v1, v2])
    t.throws(() => lines(mode, { hugepageLimits: [{ pageSize: '2MB', limit: 5 }] }, []), { message: /hugetlb/ });
  t.throws(() => lines(v2, { unified: { 'io.max': '1' } }), { message: /io/ });
});

test('unified is for v2 alone', (t) => {
  t.throws(() => lines(v1, { unified: { 'memory.high': '1' } }, []), { message: /cgroup v1/ });
});

test('a parent is absolute, clean and not the root, and not systemd’s', (t) => {
  const cgroupfs = { driver: 'cgroupfs', parent: '/berth' } as const;
  t.is(cgroupParent('', cgroupfs), '/berth');
  t.is(cgroupParent('/kubepods//burstable/', cgroupfs), '/kubepods/burstable');
  for (const parent of ['a', '/a/../b', '/', '/./', '/a\nb', '/cgroup.x'])
    t.throws(() => cgroupParent(parent, cgroupfs), { code: 'invalid-argument' });
  for (const parent of ['/kubepods.slice', '/a.slice/b', 'kubepods.slice'])
    t.throws(() => cgroupParent(parent, cgroupfs), {
      code: 'failed-precondition',
      message: /kubelet's cgroupDriver to cgroupfs/,
    });
});

test('with systemd a parent is a slice, by its name or its whole path', (t) => {
  const systemd = { driver: 'systemd', parent: 'berth.slice' } as const;
  t.is(cgroupParent('', systemd), '/berth.slice');
  const pod = '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice';
  for (const parent of ['kubepods-burstable-pod1_2.slice', pod]) t.is(cgroupParent(parent, systemd), pod);
  for (const parent of [
    'a--b.slice',
    '-.slice',
    '-a.slice',
    'a-.slice',
    'a b.slice',
    '/x.slice/a-b.slice',
    '_a.slice',
    '.slice',
  ])
    t.throws(() => cgroupParent(parent, systemd), { code: 'invalid-argument' }, parent);
  for (const parent of ['/kubepods/pod1', 'pod1'])
    t.throws(() => cgroupParent(parent, systemd), {
      code: 'failed-precondition',
      message: /kubelet's cgroupDriver to systemd/,
    });
});

test('a container is in a scope of its slice, or in a directory of its parent, by what its spec says', (t) => {
  const id = 'a'.repeat(64);
  t.is(cgroupsPathOf('/a.slice/a-b.slice', id), `a-b.slice:berth:${id}`);
  t.deepEqual(placeOf(`a-b.slice:berth:${id}`), {
    path: `/a.slice/a-b.slice/berth-${id}.scope`,
    units: { scope: `berth-${id}.scope`, slice: 'a-b.slice' },
  });
  t.deepEqual(placeOf(cgroupsPathOf('/pods/a', id)), { path: `/pods/a/${id}` });
  for (const path of [`a.slice:berth:x`, `a--b.slice:berth:${id}`, '/pods/x'])
    t.throws(() => placeOf(path), { code: 'invalid-argument' });
});

test('a path that does not end in a container id is refused', async (t) => {
  t.throws(() => containerCgroup(v2, '/berth/../x', nothing), { code: 'invalid-argument' });
  const { into } = containerCgroup(v2, `/berth//${'a'.repeat(64)}`, nothing);
  t.is(into, `/cg/berth/${'a'.repeat(64)}`);
});
