import test from 'ava';
import { detect, hierarchyOf, parseMode } from './mode.ts';

const v1 = [
  '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
  '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct',
  '35 31 0:32 / /sys/fs/cgroup/mem\\040ory rw,relatime - cgroup cgroup rw,memory',
  '40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd',
];
const v2 = '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate';
const self = '4:cpu,cpuacct:/\n3:memory:/x\n1:name=systemd:/\n0::/\n';
const bind = '90 1 0:32 /docker/1 /mnt/part rw - cgroup cgroup rw,memory';

test('hierarchies of v1 are found with all their controllers', (t) => {
  const mode = parseMode(v1.join('\n'), self);
  t.deepEqual([mode.version, mode.hybrid], [1, false]);
  t.deepEqual(mode.hierarchies, [
    { mount: '/sys/fs/cgroup/cpu,cpuacct', controllers: ['cpu', 'cpuacct'] },
    { mount: '/sys/fs/cgroup/mem ory', controllers: ['memory'] },
    { mount: '/sys/fs/cgroup/systemd', controllers: ['name=systemd'] },
  ]);
});

test('v1 controllers with a v2 mount beside them are v1', (t) => {
  const mode = parseMode([...v1, v2].join('\n'), self);
  t.deepEqual([mode.version, mode.hybrid, mode.unified], [1, true, undefined]);
});

test('a v2 mount alone, or with a named hierarchy that limits nothing, is v2', (t) => {
  t.is(parseMode(v2, '0::/').version, 2);
  t.is(parseMode([v1[3], v2].join('\n'), self).version, 2);
  t.is(parseMode(v2, '0::/').unified?.mount, '/sys/fs/cgroup/unified');
});

test('a bind mount of a part of a hierarchy is not the hierarchy', (t) => {
  t.is(
    parseMode([bind, ...v1].join('\n'), self).hierarchies.find(({ controllers }) => controllers.includes('memory'))
      ?.mount,
    '/sys/fs/cgroup/mem ory',
  );
});

test('a machine without cgroups is an error that says what to mount', (t) => {
  t.throws(() => parseMode('1 2 0:1 / / rw - ext4 /dev/vda rw', '0::/'), {
    code: 'failed-precondition',
    message: /cgroup2/,
  });
});

test('this machine is recognised', async (t) => {
  const mode = await detect();
  const controllers = mode.unified?.controllers ?? mode.hierarchies.flatMap((hierarchy) => hierarchy.controllers);
  t.true(controllers.includes('memory') && controllers.includes('pids'));
  t.is(hierarchyOf(mode, 'memory') === undefined, mode.version === 2);
});
