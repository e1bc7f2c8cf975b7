import test from 'ava';
import { bringImages, crashImages } from '../../harness/crash-images.ts';
import { TestDaemon } from '../../harness/daemon.ts';

test('A9: kill -9 at random microseconds, then a dropped page cache: what the disk has of each listed image is right', async (t) => {
  t.timeout(180_000);
  await using daemon = await TestDaemon.start({ images: [] });
  await bringImages(daemon, false);
  await crashImages(t, daemon, 5, { pulls: false, dropsCaches: true, ms: 4000 });
});
