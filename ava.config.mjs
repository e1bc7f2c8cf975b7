// Root tests share the machine (namespaces, cgroups), so one file at a time. In the second machine (critest/vm/run sets
// BERTH_VM) the tree is read-only and only its own tests run.
const inMachine = process.env.BERTH_VM === '1';

export default {
  files: inMachine
    ? ['build/critest/vm/tests/**/*.test.js', 'build/cri/cgroup/kernel.test.js']
    : ['build/**/*.test.js', '!build/critest/vm/**', '!build/**/*.long.test.js'],
  cache: !inMachine,
  concurrency: 1,
  serial: true,
  workerThreads: false,
  timeout: '2m',
};
