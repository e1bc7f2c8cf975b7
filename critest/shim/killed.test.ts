import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import { leftOnMachine } from '../harness/left.ts';
import { buildTree } from '../harness/tree.ts';

/** Paths of /proc of the processes that are in cgroups called so: those of the container. */
const inCgroup = async (cgroup: string): Promise<readonly string[]> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const places = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
      return places.includes(cgroup) ? [`/proc/${pid}`] : [];
    }),
  );
  return found.flat();
};

test('a test process that is killed with its container running leaves no process, cgroup, mount and directory', async (t) => {
  const child = spawn(process.execPath, [join(buildTree, 'critest/shim/hangs.js')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = child.pid ?? 0;
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { directory, cgroup } = JSON.parse(line) as { directory: string; cgroup: string };
  await access(directory);
  const running = await leftOnMachine(pid, 0);
  const has = (part: string): boolean => running.some((one) => one.includes(part));
  t.true(has(`supervise ${directory}`), 'the supervisor runs');
  t.true(has(`/sys/fs/cgroup/memory/${cgroup}`), 'the cgroup is there');
  const container = await inCgroup(cgroup);
  t.is(container.length, 1);
  child.kill('SIGKILL');
  t.deepEqual(await leftOnMachine(pid), []);
  for (const process of container) await t.throwsAsync(access(process), { code: 'ENOENT' });
});
