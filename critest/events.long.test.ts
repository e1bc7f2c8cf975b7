import test from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { crowdTest } from './harness/events-tests.ts';

test('a thousand subscribers get the same, and ten thousand that come and go leave the daemon as large as it was', async (t) => {
  t.timeout(600_000);
  await using daemon = await TestDaemon.start();
  await crowdTest(t, daemon, { subscribers: 1000, visits: 10_000, containers: 20 });
});
