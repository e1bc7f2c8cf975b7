import { readFileSync } from 'node:fs';
import { resourceTests } from '../../harness/resources.ts';

// User-mode Linux has no cpuset and no hugetlb.
const controllers = readFileSync('/sys/fs/cgroup/cgroup.controllers', 'utf8').trim().split(' ');
resourceTests(2, (controller) => controllers.includes(controller));
