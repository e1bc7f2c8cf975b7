import test from 'ava';
import { containerDevices, type HostDevice } from './devices.ts';

const node = (path: string, major: number, minor: number): HostDevice => ({
  path,
  type: 'c',
  major,
  minor,
  mode: 0o660,
  uid: 0,
  gid: 29,
});
const found = new Map([
  ['/dev/fuse', [node('/dev/fuse', 10, 229)]],
  ['/dev/snd', [node('/dev/snd/timer', 116, 33), node('/dev/snd/by/seq', 116, 1)]],
]);
const plain = { privileged: false, hostDevices: [node('/dev/kmsg', 1, 11)], found };

test('a container has the standard devices and no more', (t) => {
  const { devices } = containerDevices([], plain);
  t.deepEqual(
    devices.map(({ path }) => path),
    ['/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/tty'],
  );
});

test('everything is denied before the standard devices are allowed', (t) => {
  const { rules } = containerDevices([], plain);
  t.deepEqual(rules[0], { allow: false, access: 'rwm' });
  t.deepEqual(
    rules.filter(({ type, access }) => type === 'b' && access !== 'm'),
    [],
  );
  t.true(rules.some(({ major, minor, access }) => major === 136 && minor === undefined && access === 'rwm'));
});

test('tun may be opened, as with runc and crun, by pods that make its node or mount the host’s', (t) => {
  const tun = { allow: true, type: 'c', major: 10, minor: 200, access: 'rwm' } as const;
  t.deepEqual(
    containerDevices([], plain).rules.filter(({ minor }) => minor === 200),
    [tun],
  );
});

test('a requested device is made where it is wanted, with its rule', (t) => {
  const { devices, rules } = containerDevices(
    [{ host_path: '/dev/fuse', container_path: '/dev/x', permissions: 'rw' }],
    plain,
  );
  t.deepEqual(devices.at(-1), { path: '/dev/x', type: 'c', major: 10, minor: 229, fileMode: 0o660, uid: 0, gid: 29 });
  t.deepEqual(rules.at(-1), { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' });
});

test('a host path that is not clean names the same device', (t) => {
  const map = new Map([['/dev//fuse', [node('/dev//fuse', 10, 229)]]]);
  const { devices } = containerDevices([{ host_path: '/dev//fuse', container_path: '' }], { ...plain, found: map });
  t.is(devices.at(-1)?.path, '/dev/fuse');
});

test('a directory stands for all devices in it', (t) => {
  const { devices } = containerDevices(
    [{ host_path: '/dev/snd', container_path: '/dev/sound', permissions: 'r' }],
    plain,
  );
  t.deepEqual(
    devices.slice(-2).map(({ path }) => path),
    ['/dev/sound/timer', '/dev/sound/by/seq'],
  );
});

test('a privileged container gets all devices of the host and its own console and terminals', (t) => {
  const hostDevices = [
    node('/dev/kmsg', 1, 11),
    node('/dev/pts/0', 136, 0),
    node('/dev/console', 5, 1),
    node('/dev/null', 1, 3),
  ];
  const { devices, rules } = containerDevices([], { ...plain, privileged: true, hostDevices });
  const paths = devices.map(({ path }) => path);
  t.true(paths.includes('/dev/kmsg'));
  t.false(paths.includes('/dev/pts/0') || paths.includes('/dev/console'));
  t.is(paths.filter((path) => path === '/dev/null').length, 1);
  t.deepEqual(rules, [{ allow: true, access: 'rwm' }]);
});

const asked = (container_path: string, host_path = '/dev/fuse', permissions = 'rw') => ({
  container_path,
  host_path,
  permissions,
});
const bind = (destination: string, source: string) => ({ destination, type: 'bind', source, options: ['rbind'] });

test('the same device twice at one place is one node; two devices there, or two permissions, are refused', (t) => {
  const { devices } = containerDevices([asked('/dev/x'), asked('/dev//x')], plain);
  t.is(devices.filter(({ path }) => path === '/dev/x').length, 1);
  const message = /device \/dev\/.*: container_path \/dev\/sound\/timer is there twice, the other one from/;
  t.throws(() => containerDevices([asked('/dev/sound', '/dev/snd'), asked('/dev/sound/timer')], plain), { message });
  t.throws(() => containerDevices([asked('/dev/x'), asked('/dev/x', '/dev/fuse', 'r')], plain), { message: /twice/ });
});

test('a standard device is asked for as itself, and another one in its place is refused', (t) => {
  const more = { ...plain, found: new Map([...found, ['/dev/null', [node('/dev/null', 1, 3)]]]) };
  t.is(containerDevices([asked('/dev/null', '/dev/null', 'r')], more).devices.length, 6);
  t.throws(() => containerDevices([asked('/dev/null')], more), { message: /\/dev\/null is another device in every/ });
});

test('no node is made below a mount: one that shows the node is fine, any other is refused', (t) => {
  const mounts = [{ ...bind('/dev', 'tmpfs'), type: 'tmpfs' }, bind('/data', '/host'), bind('/all', '/dev')];
  const make = (path: string) => containerDevices([asked(path)], { ...plain, mounts }).devices.at(-1)?.path;
  t.is(make('/dev/x'), '/dev/x');
  t.is(make('/top'), '/top');
  t.is(make('/all/fuse'), '/dev/tty', 'only its rule is added');
  t.throws(() => make('/data/x'), {
    message: /device \/dev\/fuse: container_path \/data\/x is below the mount at \/data/,
  });
  t.throws(() => make('/all/other'), { message: /below the mount at \/all/ });
});

test('a privileged container gets no nodes of the host in a volume that is mounted in /dev', (t) => {
  const mounts = [{ ...bind('/dev', 'tmpfs'), type: 'tmpfs' }, bind('/dev/snd', '/volume')];
  const hostDevices = [node('/dev/kmsg', 1, 11), node('/dev/snd/timer', 116, 33)];
  const { devices } = containerDevices([], { privileged: true, hostDevices, found, mounts });
  const paths = devices.map(({ path }) => path);
  t.deepEqual([paths.includes('/dev/kmsg'), paths.includes('/dev/snd/timer')], [true, false]);
});

test('a device that is not there and a thing that is none are told apart', (t) => {
  const more = { ...plain, found: new Map([['/etc/passwd', []]]) };
  t.throws(() => containerDevices([asked('/dev/x', '/dev/gone')], more), {
    message: /\/dev\/gone: host_path: there is no/,
  });
  t.throws(() => containerDevices([asked('/dev/x', '/etc/passwd')], more), {
    message: /\/etc\/passwd: not a device/,
  });
});

const refused = [
  { host_path: '/dev/missing', container_path: '/dev/x', permissions: 'r' },
  { host_path: 'dev/fuse', container_path: '/dev/x', permissions: 'r' },
  { host_path: '/dev/fuse', container_path: '/dev/x', permissions: 'rwx' },
  { host_path: '/dev/fuse', container_path: '/dev/x', permissions: 'rr' },
  { host_path: '/dev/fuse', container_path: '/', permissions: 'r' },
  { host_path: '/dev/fuse', container_path: '/dev/\n', permissions: 'r' },
];
for (const device of refused)
  test(`the device ${JSON.stringify(device)} is refused`, (t) => {
    t.throws(() => containerDevices([device], plain), { code: 'invalid-argument' });
  });
