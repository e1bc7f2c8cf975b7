import { parentTests } from '../../harness/cgroup-parents.ts';

parentTests(['/sys/fs/cgroup']);
