// Root tests share the machine (namespaces, cgroups), so one file at a time.
export default {
  files: ['build/**/*.test.js', '!build/critest/vm/**', '!build/**/*.long.test.js'],
  concurrency: 1,
  serial: true,
  workerThreads: false,
  timeout: '2m',
};
