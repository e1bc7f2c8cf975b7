import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import test from 'ava';
import { newId } from '../../base/digest.ts';
import { containerDevices } from '../spec/devices.ts';
import { containerResources } from '../spec/resources.ts';
import { type ContainerCgroup, containerCgroup } from './container.ts';
import { detect, hierarchyOf } from './mode.ts';

// As the native side does it: every directory first, then the writes in order.
const apply = ({ make, writes }: ContainerCgroup): void => {
  for (const { directory } of make) mkdirSync(directory, { recursive: true });
  for (const { file, value } of writes) writeFileSync(file, value);
};

// Puts a process of its own into every hierarchy, and answers with what the kernel then says of it.
const joined = async ({ make }: ContainerCgroup): Promise<string> => {
  const child = spawn('/bin/sleep', ['60']);
  try {
    for (const { directory } of make) writeFileSync(`${directory}/cgroup.procs`, String(child.pid));
    return readFileSync(`/proc/${child.pid}/cgroup`, 'utf8');
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
};

const remove = ({ make }: ContainerCgroup): void => {
  for (const { directory } of make) for (const path of [directory, dirname(directory)]) rmdirSync(path);
};

test('this machine’s kernel takes every write in the order given, and a process joins', async (t) => {
  const mode = await detect();
  const { rules } = containerDevices([], { privileged: false, hostDevices: [], found: new Map() });
  // User-mode Linux has none.
  const hasCpuset = mode.unified?.controllers.includes('cpuset') ?? true;
  const request = {
    memory_limit_in_bytes: 64 << 20,
    cpu_shares: 512,
    cpu_quota: 50_000,
    cpu_period: 100_000,
    ...(hasCpuset ? { cpuset_cpus: '0' } : {}),
  };
  const resources = containerResources(request, rules, { pids: 77 });
  const cgroup = containerCgroup(mode, `/berth-test-${newId().slice(0, 12)}/${newId()}`, resources);
  t.teardown(() => remove(cgroup));
  apply(cgroup);
  const places = (await joined(cgroup)).split('\n').filter((line) => line.includes('/berth-test-'));
  t.is(places.length, cgroup.make.length);
  const directory = (controller: string): string =>
    cgroup.into ??
    cgroup.make.find(({ directory: path }) => path.startsWith(`${hierarchyOf(mode, controller)?.mount}/`))?.directory ??
    '';
  const read = (controller: string, file: string): string =>
    readFileSync(`${directory(controller)}/${file}`, 'utf8').trim();
  t.is(read('pids', 'pids.max'), '77');
  if (hasCpuset) t.is(read('cpuset', 'cpuset.cpus'), '0');
  t.is(read('memory', mode.version === 2 ? 'memory.max' : 'memory.limit_in_bytes'), String(64 << 20));
  if (mode.version === 2) {
    t.is(read('cpu', 'cpu.max'), '50000 100000');
    t.is(read('cpu', 'cpu.weight'), '59');
    return;
  }
  t.is(read('memory', 'memory.memsw.limit_in_bytes'), String(64 << 20));
  t.is(read('cpu', 'cpu.cfs_quota_us'), '50000');
  t.not(read('cpuset', 'cpuset.mems'), '');
  t.false(read('devices', 'devices.list').includes('a *:* rwm'));
  t.true(read('devices', 'devices.list').includes('c 1:3 rwm'));
});
