import test from 'ava';
import { BerthError, codeOf, messageOf } from '../../base/errors.ts';
import { refusedLimit } from './field.ts';

const id = 'a'.repeat(64);
const told = (operation: string, code: 'internal' | 'invalid-argument' = 'internal'): readonly [string, string] => {
  const error = refusedLimit(id, new BerthError(code, operation));
  return [codeOf(error), messageOf(error)];
};

test('a limit that the kernel refuses at a start is the caller’s mistake, in the words of the request', (t) => {
  const scope = `/sys/fs/cgroup/kubepods.slice/berth-${id}.scope`;
  const range = `write ${scope}/cpu.weight: ERANGE`;
  t.deepEqual(told(range), ['invalid-argument', `cpu_shares: ${range}`]);
  const missing = `open ${scope}/memory.nosuch: ENOENT`;
  t.deepEqual(told(missing), ['invalid-argument', `unified: memory.nosuch: ${missing}`]);
  const cpus = `write /sys/fs/cgroup/cpuset/pods/${id}/cpuset.cpus: EACCES`;
  t.deepEqual(told(cpus), ['failed-precondition', `cpuset_cpus: ${cpus}`]);
  const wrong = `write ${scope}/pids.max: EINVAL`;
  t.deepEqual(told(wrong, 'invalid-argument'), ['invalid-argument', `limits.pids: ${wrong}`]);
});

test('what is no limit of this container keeps its words', (t) => {
  for (const text of [
    `open /sys/fs/cgroup/pods/${id}/cgroup.procs: ENOENT`,
    `write /sys/fs/cgroup/cpu/pods/${id}/tasks: ERANGE`,
    `open /sys/fs/cgroup/pods/${'b'.repeat(64)}/memory.max: ENOENT`,
    'mount /proc: EPERM',
  ])
    t.deepEqual(told(text), ['internal', text]);
});
