import { metricsTests } from '../../harness/metrics-tests.ts';

metricsTests(2);
