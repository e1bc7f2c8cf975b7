import test from 'ava';
import type { Device, Input } from '../../api/generated/types.ts';
import type { TestDaemon } from './daemon.ts';
import { fresh, idle, runPod, type TestPod } from './pods.ts';
import { fails } from './suite.ts';
import { until } from './until.ts';

// Major 240 is for local use: nobody serves it, so that an open that the cgroup allows ends with ENXIO.
const allowed = 'No such device or address';
const denied = 'Operation not permitted';

/** Opens each path for reading, then for writing: a line each. */
const openEach = (...paths: readonly string[]): string =>
  paths.map((path) => `for d in "<" ">"; do eval "(: $d${path})" 2>&1 | sed 's/.*: //'; done`).join('; ');

/** How the request's devices come to a container, on cgroup v1 as on v2. */
export const deviceTests = (daemon: () => TestDaemon): void => {
  const run = (linux = {}): Promise<TestPod> =>
    runPod(daemon(), {
      linux: { security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' }, ...linux } },
    });
  /** A directory of the host, where this script has made nodes. */
  const nodes = async (script: string): Promise<string> => {
    const path = daemon().world.path('logs', fresh('nodes'));
    await daemon().world.sh(`mkdir ${path} && cd ${path} && ${script}`);
    return path;
  };

  test('each device has the access that its permissions give, an empty one all of them, in an exec as well', async (t) => {
    const at = await nodes('for n in 1 2 3 4; do mknod $n c 240 $n; done');
    const device = (n: number, permissions: string): Input<Device> => ({
      host_path: `${at}/${n}`,
      container_path: `/dev/d${n}`,
      permissions,
    });
    const devices = [device(1, 'r'), device(2, 'mw'), device(3, 'wr'), device(4, '')];
    const script = openEach('/dev/d1', '/dev/d2', '/dev/d3', '/dev/d4');
    const container = await (await run()).run(`${script}; mknod /m c 240 9; (: </m) 2>&1 | sed 's/.*: //'; ${idle}`, {
      devices,
    });
    const expected = [allowed, denied, denied, allowed, allowed, allowed, allowed, allowed];
    t.is((await container.exec(script)).stdout, `${expected.join('\n')}\n`);
    // And a node that was not asked for is not opened.
    const all = `${[...expected, denied].join('\n')}\n`;
    await until('the main process has told all', async () => (await container.text()).length >= all.length);
    t.is(await container.text(), all);
  });

  test('a directory stands for all devices below it, a link for what it leads to; owner and mode are the host’s', async (t) => {
    const at = await nodes(
      'mkdir -p a/b; mknod a/one c 240 1 -m 600; mknod a/b/two b 240 2 -m 640; chown 7:8 a/b/two; touch a/file; ln -s a link; ln -s a/one one',
    );
    const devices = [
      { host_path: `${at}/link`, container_path: '/dev/all', permissions: 'r' },
      { host_path: `${at}/one`, container_path: '/opt/deep/one', permissions: 'rw' },
    ];
    const { stdout } = await (await run()).output(
      `cd /dev/all; stat -c "%n %F %a %u %g %t:%T" one b/two /opt/deep/one; ls -R | grep file; ${openEach('/dev/all/one', '/dev/all/b/two', '/opt/deep/one')}`,
      { devices },
    );
    t.deepEqual(stdout.trim().split('\n'), [
      'one character special file 600 0 0 f0:1',
      'b/two block special file 640 7 8 f0:2',
      '/opt/deep/one character special file 600 0 0 f0:1',
      allowed,
      allowed,
      allowed,
      denied,
      allowed,
      allowed,
    ]);
  });

  test('a privileged container opens any device, and has those of the request where it wants them', async (t) => {
    const at = await nodes('mknod n c 240 1');
    const linux = { security_context: { privileged: true } };
    const devices = [{ host_path: `${at}/n`, container_path: '/dev/mine', permissions: 'r' }];
    const script = `mknod /other b 240 7; ${openEach('/dev/mine', '/other')}`;
    const { stdout } = await (await run({ privileged: true })).output(script, { devices, linux });
    t.is(stdout, `${allowed}\n`.repeat(4));
  });

  test('a device that is not there, is none, or has no place, is refused and named', async (t) => {
    const at = await nodes('mknod n c 240 1; mknod m c 240 2; mkfifo pipe; mkdir empty; ln -s gone dangling');
    const pod = await run();
    const refused = (device: Input<Device>, message: RegExp, more: readonly Input<Device>[] = []): Promise<void> =>
      fails(
        t,
        pod.create('true', { devices: [...more, device], mounts: [{ host_path: at, container_path: '/vol' }] }),
        'invalid-argument',
        message,
      );
    const x = { container_path: '/dev/x', permissions: 'rw' };
    for (const name of ['gone', 'dangling'])
      await refused({ ...x, host_path: `${at}/${name}` }, /host_path: there is no such file/);
    for (const name of ['pipe', 'empty'])
      await refused({ ...x, host_path: `${at}/${name}` }, /: not a device, nor a dir/);
    const host_path = `${at}/n`;
    await refused({ ...x, host_path: 'n' }, /host_path: "n" is not an absolute path/);
    await refused(
      { host_path, container_path: '/dev/x', permissions: 'rx' },
      /permissions: "rx" is not made of r, w and m/,
    );
    await refused({ ...x, host_path, container_path: '/dev/null' }, /\/dev\/null is another device in every container/);
    await refused({ ...x, host_path, container_path: '/vol/new' }, /\/vol\/new is below the mount at \/vol/);
    await refused({ ...x, host_path, container_path: '/dev/shm/n' }, /below the mount at \/dev\/shm/);
    await refused({ ...x, host_path }, /\/dev\/x is there twice, the other one from .*\/m/, [
      { ...x, host_path: `${at}/m` },
    ]);
    t.is(await daemon().world.sh(`ls ${at}`), 'dangling\nempty\nm\nn\npipe\n');
  });

  test('a device that a mount of the request shows is opened there, and no other node of that mount', async (t) => {
    // A file system of its own: /tmp may be nodev.
    const at = await nodes('mount -t tmpfs tmpfs . && cd $PWD && mknod n c 240 1 && mknod m c 240 2');
    const devices = [{ host_path: `${at}/n`, container_path: '/vol/n', permissions: 'r' }];
    const mounts = [{ host_path: at, container_path: '/vol' }];
    const { stdout } = await (await run()).output(openEach('/vol/n', '/vol/m'), { devices, mounts });
    t.is(stdout, `${[allowed, denied, denied, denied].join('\n')}\n`);
    await daemon().world.sh(`umount ${at}`);
  });
};
