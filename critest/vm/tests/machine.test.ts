import { readFile } from 'node:fs/promises';
import test from 'ava';

test('systemd is PID 1', async (t) => {
  t.is((await readFile('/proc/1/comm', 'utf8')).trim(), 'systemd');
});

test('cgroup v2 has the memory, cpu and pids controllers at the root', async (t) => {
  const controllers = (await readFile('/sys/fs/cgroup/cgroup.controllers', 'utf8')).trim().split(' ');
  for (const name of ['cpu', 'memory', 'pids']) t.true(controllers.includes(name), name);
});

test('AppArmor is on', async (t) => {
  t.is((await readFile('/sys/module/apparmor/parameters/enabled', 'utf8')).trim(), 'Y');
});
