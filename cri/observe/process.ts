import { readdir, readFile } from 'node:fs/promises';
import type { Registry } from 'prom-client';
import { version } from '../version.ts';
import { addRead, one } from './collected.ts';

const startSeconds = Math.round(performance.timeOrigin) / 1000;

const openFiles = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

const mostFiles = async (): Promise<number> =>
  Number(/^Max open files\s+(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8'))?.[1] ?? 0);

const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

const usage: readonly (readonly [name: string, help: string, read: () => number | Promise<number>])[] = [
  ['process_cpu_seconds_total', 'User and system CPU time of the daemon in seconds.', cpuSeconds],
  ['process_resident_memory_bytes', 'Resident memory of the daemon in bytes.', () => process.memoryUsage.rss()],
  ['process_start_time_seconds', 'When the daemon was started, in seconds since 1970.', () => startSeconds],
  ['process_open_fds', 'Open file descriptors of the daemon.', openFiles],
  ['process_max_fds', 'How many it may have.', mostFiles],
  ['nodejs_heap_size_used_bytes', "Used bytes of the daemon's JavaScript heap.", () => process.memoryUsage().heapUsed],
];

/** The process's own figures, by the names that every Prometheus client has for them. */
export const addProcessMetrics = (registry: Registry): void => {
  for (const [name, help, read] of usage)
    addRead(registry, { name, help, labels: [], read: async () => one(await read()) });
  addRead(registry, {
    name: 'berth_build_info',
    help: 'Always 1; the version of Berth and of Node.',
    labels: ['version', 'node_version'],
    read: () => [[[version, process.version], 1]],
  });
};
