import test from 'ava';
import { bringImages, crashImages, fillRegistry } from '../../harness/crash-images.ts';
import { TestDaemon } from '../../harness/daemon.ts';
import { startTestRegistry } from '../../harness/own-registry.ts';

test('A9: kill -9 at random microseconds of pulls, imports, loads and removals, then a dropped page cache: what the disk has of each listed image is right', async (t) => {
  t.timeout(180_000);
  // The machine has no registry of Debian's, and this one is in the test's own process.
  await using registry = await startTestRegistry({ port: 5000 });
  fillRegistry(registry);
  await using daemon = await TestDaemon.start({ images: [], network: 'none', hostNetwork: true });
  await bringImages(daemon, false);
  await crashImages(t, daemon, 5, { pulls: true, dropsCaches: true, ms: 4000 });
});
