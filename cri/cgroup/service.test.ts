import test from 'ava';
import type { CgroupMode } from './mode.ts';
import { serviceDirectories } from './service.ts';

const v1: CgroupMode = {
  version: 1,
  hybrid: false,
  hierarchies: [
    { mount: '/sys/fs/cgroup/cpu,cpuacct', controllers: ['cpu', 'cpuacct'] },
    { mount: '/sys/fs/cgroup/systemd', controllers: ['name=systemd'] },
  ],
  unified: undefined,
  swap: false,
};
const v2: CgroupMode = { ...v1, version: 2, hierarchies: [], unified: { mount: '/sys/fs/cgroup', controllers: [] } };

test('a daemon that is no service leaves its cgroup as it is', (t) => {
  t.deepEqual(serviceDirectories(v2, '0::/user.slice/session-1.scope\n'), []);
  t.deepEqual(serviceDirectories(v1, '3:cpu,cpuacct:/\n1:name=systemd:/\n'), []);
});

test('a service divides its own cgroup, in each hierarchy that has one', (t) => {
  t.deepEqual(serviceDirectories(v2, '0::/system.slice/berth.service\n'), [
    '/sys/fs/cgroup/system.slice/berth.service',
  ]);
  const self = '3:cpu,cpuacct:/\n1:name=systemd:/system.slice/berth.service\n';
  t.deepEqual(serviceDirectories(v1, self), ['/sys/fs/cgroup/systemd/system.slice/berth.service']);
});

test('a daemon that was started anew inside `daemon` divides nothing a second time', (t) => {
  t.deepEqual(serviceDirectories(v2, '0::/system.slice/berth.service/daemon\n'), []);
});
