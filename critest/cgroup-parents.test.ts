import { readdirSync } from 'node:fs';
import { parentTests } from './harness/cgroup-parents.ts';

const root = '/sys/fs/cgroup';
const hierarchies = readdirSync(root, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() && entry.name !== 'unified' ? [`${root}/${entry.name}`] : [],
);
parentTests(hierarchies.filter((path) => readdirSync(path).includes('tasks')));
