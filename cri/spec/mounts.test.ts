import test from 'ava';
import { containerMounts, rootPropagation } from './mounts.ts';
import type { Mount } from './types.ts';

const files = { hostname: '/s/hostname', hosts: '/s/hosts', resolvConf: '/s/resolv.conf', shm: '/s/shm' };
const make = (
  requested: readonly Mount[],
  options: { privileged?: boolean; readonlyRoot?: boolean; recursiveReadOnly?: boolean } = {},
) =>
  containerMounts(requested, { privileged: false, readonlyRoot: false, recursiveReadOnly: false, files, ...options });
const optionsAt = (mounts: ReturnType<typeof make>, destination: string) =>
  mounts.find((mount) => mount.destination === destination)?.options;

test('a container has the default file systems, in an order in which they can be made', (t) => {
  const order = make([]).map(({ destination }) => destination);
  t.deepEqual(order, [
    '/proc',
    '/dev',
    '/dev/pts',
    '/dev/mqueue',
    '/sys',
    '/sys/fs/cgroup',
    '/etc/hostname',
    '/etc/hosts',
    '/etc/resolv.conf',
    '/dev/shm',
  ]);
  t.deepEqual(optionsAt(make([]), '/dev'), ['nosuid', 'strictatime', 'mode=755', 'size=65536k']);
  t.deepEqual(optionsAt(make([]), '/dev/pts'), [
    'nosuid',
    'noexec',
    'newinstance',
    'ptmxmode=0666',
    'mode=0620',
    'gid=5',
  ]);
});

// CVE-2023-25809
test('/sys and cgroup are read-only unless privileged', (t) => {
  for (const path of ['/sys', '/sys/fs/cgroup']) {
    t.true(optionsAt(make([]), path)?.includes('ro'));
    t.true(optionsAt(make([], { privileged: true }), path)?.includes('rw'));
  }
});

test('the pod’s files are read-only together with the root, /dev/shm is not', (t) => {
  const mounts = make([], { readonlyRoot: true });
  t.true(optionsAt(mounts, '/etc/hosts')?.includes('ro'));
  t.true(optionsAt(mounts, '/dev/shm')?.includes('rw'));
});

test('a request’s mount takes the place of Berth’s own', (t) => {
  const mounts = make([{ container_path: '/etc//hosts', host_path: '/kubelet/hosts' }]);
  t.deepEqual(
    mounts.filter(({ destination }) => destination === '/etc/hosts').map(({ source }) => source),
    ['/kubelet/hosts'],
  );
  const dev = make([{ container_path: '/dev', host_path: '/dev' }]).map(({ destination }) => destination);
  t.deepEqual(
    dev.filter((path) => path.startsWith('/dev')),
    ['/dev'],
  );
});

test('parents are mounted before children, and equals in the request’s order', (t) => {
  const at = (container_path: string, host_path = '/h'): Mount => ({ container_path, host_path });
  const order = make([at('/data/a/b'), at('/data', '/1'), at('/data', '/2'), at('rel/./x')]).filter(
    ({ source }) => source.length === 2,
  );
  t.deepEqual(
    order.map(({ destination, source }) => `${source} ${destination}`),
    ['/1 /data', '/2 /data', '/h /rel/x', '/h /data/a/b'],
  );
});

test('propagation and readonly become mount options', (t) => {
  const base = { container_path: '/m', host_path: '/h' };
  t.deepEqual(optionsAt(make([base]), '/m'), ['rbind', 'rprivate', 'rw']);
  t.deepEqual(optionsAt(make([{ ...base, readonly: true, propagation: 'PROPAGATION_HOST_TO_CONTAINER' }]), '/m'), [
    'rbind',
    'rslave',
    'ro',
  ]);
  t.deepEqual(optionsAt(make([{ ...base, propagation: 'PROPAGATION_BIDIRECTIONAL' }], { privileged: true }), '/m'), [
    'rbind',
    'rshared',
    'rw',
  ]);
});

test('mount_options are added, each once, and ro is readonly', (t) => {
  const base = { container_path: '/m', host_path: '/h' };
  t.deepEqual(optionsAt(make([{ ...base, mount_options: ['noexec', 'rnodev', 'noexec'] }]), '/m'), [
    'rbind',
    'rprivate',
    'rw',
    'noexec',
    'rnodev',
  ]);
  t.deepEqual(optionsAt(make([{ ...base, mount_options: ['ro', 'nosuid'] }]), '/m'), [
    'rbind',
    'rprivate',
    'ro',
    'nosuid',
  ]);
});

test('a request’s /sys and /proc replace what Berth would mount below them', (t) => {
  const places = make([{ container_path: '/sys', host_path: '/sys' }]).map(({ destination }) => destination);
  t.deepEqual(
    places.filter((path) => path.startsWith('/sys')),
    ['/sys'],
  );
});

test('the root’s propagation is the widest that a mount needs', (t) => {
  const base = { container_path: '/m', host_path: '/h' };
  t.is(rootPropagation(make([base])), 'private');
  t.is(rootPropagation(make([{ ...base, propagation: 'PROPAGATION_HOST_TO_CONTAINER' }])), 'slave');
  t.is(rootPropagation(make([{ ...base, propagation: 'PROPAGATION_BIDIRECTIONAL' }], { privileged: true })), 'shared');
});

const refused: readonly (readonly [string, Mount, RegExp])[] = [
  ['no container_path', { host_path: '/h' }, /container_path/],
  ['the root', { container_path: '/..', host_path: '/h' }, /would hide/],
  ['no host_path', { container_path: '/m' }, /host_path/],
  ['a relative host_path', { container_path: '/m', host_path: 'h' }, /not an absolute path/],
  ['a host_path with ..', { container_path: '/m', host_path: '/h/../etc' }, /"\.\."/],
  ['a newline', { container_path: '/m\n/x', host_path: '/h' }, /control/],
  ['a NUL', { container_path: '/m', host_path: '/h\0' }, /control/],
  [
    'an image that shall be writable',
    { container_path: '/m', image: { image: 'x' } },
    /ImageVolumeMountFailed: readonly/,
  ],
  ['an image without a name', { container_path: '/m', image: {}, readonly: true }, /image\.image is empty/],
  ['BIDIRECTIONAL', { container_path: '/m', host_path: '/h', propagation: 'PROPAGATION_BIDIRECTIONAL' }, /privileged/],
  ['image_sub_path', { container_path: '/m', host_path: '/h', image_sub_path: 'a' }, /image_sub_path/],
  [
    'uidMappings in a pod without a user namespace',
    { container_path: '/m', host_path: '/h', uidMappings: [{}] },
    /Mappings/,
  ],
  [
    'an unknown mount option',
    { container_path: '/m', host_path: '/h', mount_options: ['exec'] },
    /mount_options: "exec"/,
  ],
  ['a mount option of a file system', { container_path: '/m', host_path: '/h', mount_options: ['uid=0'] }, /"uid=0"/],
  ['rro as a mount option', { container_path: '/m', host_path: '/h', mount_options: ['rro'] }, /"rro"/],
  [
    'mount options that exclude each other',
    { container_path: '/m', host_path: '/h', mount_options: ['noatime', 'rstrictatime'] },
    /mount_options: noatime and strictatime/,
  ],
  [
    'recursive_read_only',
    { container_path: '/m', host_path: '/h', readonly: true, recursive_read_only: true },
    /recursive_read_only: RROUnsupported: needs Linux 5\.12/,
  ],
  [
    'recursive_read_only on a writable mount',
    { container_path: '/m', host_path: '/h', recursive_read_only: true },
    /not readonly/,
  ],
  [
    'recursive_read_only with propagation',
    {
      container_path: '/m',
      host_path: '/h',
      readonly: true,
      recursive_read_only: true,
      propagation: 'PROPAGATION_BIDIRECTIONAL',
    },
    /private/,
  ],
];
for (const [name, mount, message] of refused)
  test(`a mount with ${name} is refused by name`, (t) => {
    t.throws(() => make([mount]), { name: 'BerthError', message });
  });

test('a recursive read-only mount is one where the kernel can make it', (t) => {
  const mount = { container_path: '/m', host_path: '/h', readonly: true, recursive_read_only: true };
  t.deepEqual(optionsAt(make([mount], { recursiveReadOnly: true }), '/m'), ['rbind', 'rprivate', 'rro']);
});
