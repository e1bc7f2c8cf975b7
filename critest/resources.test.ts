import { existsSync } from 'node:fs';
import { resourceTests } from './harness/resources.ts';

resourceTests(1, (controller) => existsSync(`/sys/fs/cgroup/${controller}/tasks`));
