import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dir } from 'tmp-promise';
import { connect } from '../../api/client.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { countSupervisors, isOfService, type Traces, tracesOf } from './traces.ts';

/** What an uninstallation finds when no daemon answers, and the installed one says this. */
const found = async (script: string, { force = false } = {}): Promise<Traces> => {
  const { path, cleanup } = await dir({ prefix: 'berth-traces-', unsafeCleanup: true });
  const client = connect(`unix://${join(path, 'nobody.sock')}`);
  try {
    await mkdir(join(path, 'bin'));
    await writeFile(join(path, 'bin/berthd'), `#!/bin/sh\n${script}\n`);
    await chmod(join(path, 'bin/berthd'), 0o755);
    return await tracesOf(client, path, force);
  } finally {
    client.close();
    await cleanup();
  }
};

test('without a daemon that answers its configuration says where its data are', async (t) => {
  const dump = `echo 'root = "/data/berth"'; echo 'state = "/run/b"'; echo '[network]'; echo 'embedded_bridge = "b0"'`;
  t.deepEqual(await found(dump), { root: '/data/berth', state: '/run/b', bridge: 'b0' });
});

test('a configuration that is wrong is refused with its error, and the defaults are taken by force alone', async (t) => {
  const broken = `echo 'config.toml:3: no_such_key' >&2; exit 1`;
  const error = await found(broken).catch((reason: unknown) => reason);
  t.is(codeOf(error), 'failed-precondition');
  t.regex(messageOf(error), /does not answer.*config\.toml:3: no_such_key.*--force/);
  t.is((await found(broken, { force: true })).root, '/var/lib/berth');
});

test('the supervisors of a state directory are counted, and not those of another Berth on the machine', async (t) => {
  const { path, cleanup } = await dir({ prefix: 'berth-traces-', unsafeCleanup: true });
  // What a supervisor is known by: its name and its working directory.
  const program = join(path, 'berth-shim');
  await copyFile('/bin/sleep', program);
  const children = [];
  try {
    for (const bundle of ['ours/containers/a', 'ours/containers/b', 'other/containers/c', 'ours-too/containers/d']) {
      await mkdir(join(path, bundle), { recursive: true });
      const child = spawn(program, ['3600'], { cwd: join(path, bundle) });
      children.push(child);
      await once(child, 'spawn');
    }
    await symlink('ours', join(path, 'link'));
    t.is(await countSupervisors({ state: join(path, 'ours') }), 2);
    t.is(await countSupervisors({ state: join(path, 'link') }), 2);
    await rm(join(path, 'ours'), { recursive: true });
    t.is(await countSupervisors({ state: join(path, 'ours') }), 2, 'they run on when their directory has gone');
    t.is(await countSupervisors({ state: join(path, 'none') }), 0);
  } finally {
    for (const child of children) child.kill();
    await cleanup();
  }
});

test('a supervisor of the service is known by its cgroup, and one of another Berth is not', (t) => {
  t.true(isOfService('0::/system.slice/berth.service/supervisors\n'));
  t.true(isOfService('5:memory:/system.slice/berth.service/supervisors\n4:cpu,cpuacct:/\n'));
  for (const text of [
    '',
    '0::/system.slice/berth.service/daemon\n',
    '0::/user.slice/a.scope\n',
    '0::/x/other-berth.service/supervisors\n',
  ])
    t.false(isOfService(text), text);
});
