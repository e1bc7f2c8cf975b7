import { readFile } from 'node:fs/promises';
import test from 'ava';
import { names } from '../../harness/images.ts';
import { idle, runPod } from '../../harness/pods.ts';
import { suiteDaemon } from '../../harness/suite.ts';

// critest/image-volumes.test.ts and image-own-volumes.test.ts have the rest; here it is another kernel.
const daemon = suiteDaemon({ images: [names.busybox, names.layered, names.volume] });

test('image volumes, a sub path of one, a VOLUME and mount options are mounted by this kernel, too', async (t) => {
  const volume = { image: { image: names.layered }, container_path: '/volume', readonly: true };
  const container = await (await runPod(daemon())).run(idle, {
    image: { image: names.volume },
    mounts: [
      { ...volume, mount_options: ['noexec', 'nosuid', 'nodev'] },
      { ...volume, container_path: '/part', image_sub_path: 'opaque' },
      { host_path: daemon().world.path('logs'), container_path: '/host', mount_options: ['nosymfollow', 'noatime'] },
    ],
  });
  const table = await readFile(daemon().world.seen(`/proc/${await container.pid()}/mountinfo`), 'utf8');
  t.regex(table, / \/ \/volume ro,nosuid,nodev,noexec,relatime - overlay /);
  t.regex(table, / \/opaque \/part ro,relatime - overlay /);
  t.regex(table, /\/volumes\/own-0 \/data rw,/);
  t.regex(table, / \/host rw,\S*noatime,nosymfollow /);
  const { stdout } = await container.exec(
    'ls /part; cat /volume/added; touch /data/x && ls /data; touch /volume/x 2>&1',
  );
  t.is(stdout, 'above\naddedx\ntouch: /volume/x: Read-only file system\n');
});
