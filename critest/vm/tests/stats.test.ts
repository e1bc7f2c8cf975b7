import { statsTests } from '../../harness/stats-tests.ts';

statsTests(2);
