import { deviceTests } from './harness/device-tests.ts';
import { suiteDaemon } from './harness/suite.ts';

deviceTests(suiteDaemon());
