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
