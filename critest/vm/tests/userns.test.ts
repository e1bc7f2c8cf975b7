import test from 'ava';
import { idle, runPod, type TestPod } from '../../harness/pods.ts';
import { suiteDaemon } from '../../harness/suite.ts';
import { until } from '../../harness/until.ts';
import { cgroupOf, placeOf } from '../cgroup.ts';

const daemon = suiteDaemon();
const ids = [{ host_id: 100_000, container_id: 0, length: 65536 }];
const mapped = (pid: 'POD' | 'CONTAINER', privileged = false): Promise<TestPod> =>
  runPod(daemon(), {
    linux: {
      security_context: {
        privileged,
        namespace_options: { pid, userns_options: { mode: 'POD', uids: ids, gids: ids } },
      },
    },
  });

for (const pid of ['POD', 'CONTAINER'] as const)
  test(`pid ${pid}: a container in a user namespace is in its cgroup, sees it alone, and cannot write to it`, async (t) => {
    const container = await (await mapped(pid)).run(idle);
    const main = await container.pid();
    t.is(await placeOf(daemon(), main), `/${daemon().world.cgroup}/${container.id}`);
    t.is((await daemon().world.sh(`cat /proc/${main}/uid_map`)).trim().replaceAll(/ +/g, ' '), '0 100000 65536');
    const script =
      "cat /proc/self/cgroup; sed -n 's,.* /sys/fs/cgroup \\([a-z0-9]*\\) ro.*,\\1,p' /proc/mounts; cat /sys/fs/cgroup/cgroup.type; mkdir /sys/fs/cgroup/x 2>&1; id -u";
    const { stdout } = await container.exec(script);
    t.is(stdout, "0::/\ncgroup2\ndomain\nmkdir: can't create directory '/sys/fs/cgroup/x': Read-only file system\n0\n");
    const cgroup = cgroupOf(daemon(), container);
    await container.stop(0);
    t.is((await container.status()).exit_code, 137);
    await until('its cgroup has gone', async () => !(await cgroup.exists()));
  });

test('a privileged container in a user namespace reads no disk and makes no cgroup', async (t) => {
  const script = 'head -c 4 /dev/ubda 2>&1; mkdir /sys/fs/cgroup/x 2>&1; mknod /x b 98 0 2>&1';
  const { stdout } = await (await mapped('CONTAINER', true)).output(script, {
    linux: { security_context: { privileged: true } },
  });
  t.regex(stdout, /\/dev\/ubda: Permission denied\n.*cgroup\/x.*Permission denied\n.*\/x: Operation not permitted\n$/);
});

test('a device of the request has the access that the request gives', async (t) => {
  const devices = [{ host_path: '/dev/ubda', container_path: '/dev/disk', permissions: 'r' }];
  const script = 'head -c 4 /dev/disk | wc -c; (echo x >/dev/disk) 2>&1';
  const { stdout, stderr } = await (await mapped('CONTAINER')).output(script, { devices });
  t.regex(stdout, /^4\n.*Operation not permitted\n$/, stderr);
});
