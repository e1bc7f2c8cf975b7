import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import test from 'ava';
import { toToml } from './config.ts';
import { registryHost } from './images.ts';
import { logText, parseLog } from './log-lines.ts';
import { startRegistry } from './registry.ts';
import { difference, takeSnapshot } from './snapshot.ts';
import { tar } from './tar.ts';
import { buildTree } from './tree.ts';
import { until } from './until.ts';
import { World } from './world.ts';

test('a log line without its newline is an error, partial lines are joined', (t) => {
  const at = '2026-01-02T03:04:05.000000006Z';
  t.is(logText(parseLog(`${at} stdout P ab\n${at} stdout F c\n${at} stderr F e\n`), 'stdout'), 'abc\n');
  t.throws(() => parseLog(`${at} stdout F ab`), { message: /not closed/ });
  t.throws(() => parseLog('yesterday stdout F ab\n'), { message: /not a line/ });
});

test('TOML has the top-level keys before the tables', (t) => {
  t.is(toToml({ a: { b: ['x'] }, c: 1 }), 'c = 1\n\n[a]\nb = ["x"]\n');
});

test('GNU tar lists what the tar writer writes', async (t) => {
  const archive = tar([
    { name: 'd/', type: 'directory', mode: 0o1777 },
    { name: 'd/f', data: 'hello', uid: 7, pax: { 'SCHILY.xattr.user.k': 'v' } },
    { name: 'l', type: 'symlink', link: 'd/f' },
  ]);
  const listing = promisify(execFile)('tar', ['tvf', '-', '--numeric-owner']);
  listing.child.stdin?.end(archive);
  const lines = (await listing).stdout.trim().split('\n');
  t.regex(lines[0] ?? '', /^drwxrwxrwt 0\/0 .* d\/$/);
  t.regex(lines[1] ?? '', /^-rw-r--r-- 7\/0 +5 .* d\/f$/);
  t.regex(lines[2] ?? '', /^lrw.* l -> d\/f$/);
});

test('a snapshot shows a mount, a link, an address, a rule, a cgroup, a process and a file', async (t) => {
  await using world = await World.make();
  const before = await takeSnapshot(world);
  t.deepEqual(difference(before, await takeSnapshot(world)), []);
  await world.sh('mount -t tmpfs left /mnt; ip link add left0 type bridge; ip addr add 10.1.2.3/24 dev left0');
  await world.sh('iptables -N LEFT');
  await mkdir(`/sys/fs/cgroup/pids/${world.cgroup}/left`, { recursive: true });
  await writeFile(world.path('left'), '');
  world.spawn('sleep', ['1000'], { stdio: 'ignore' });
  const changes = await until('the process is seen', async () => {
    const found = difference(before, await takeSnapshot(world));
    return found.some((line) => line.startsWith('+ processes')) && found;
  });
  const kinds = new Set(changes.map((line) => line.split(':')[0]));
  t.deepEqual([...kinds].sort(), [
    '+ addresses',
    '+ cgroups',
    '+ files',
    '+ links',
    '+ mounts',
    '+ processes',
    '+ rules',
  ]);
});

test('docker-registry serves the test images in the world', async (t) => {
  await using world = await World.make();
  await startRegistry(world);
  const url = `http://${registryHost}/v2/berth/layered/manifests/1`;
  const script = `fetch(${JSON.stringify(url)}, { headers: { accept: 'application/vnd.oci.image.manifest.v1+json' } }).then(async (r) => console.log(r.status, (await r.json()).layers.length))`;
  const { stdout } = await world.run(process.execPath, ['-e', script]);
  t.is(stdout.trim(), '200 3');
});

test('a world goes when the process that made it is killed', async (t) => {
  const url = JSON.stringify(join(buildTree, 'critest/harness/world.js'));
  const script = `const { World } = await import(${url}); const w = await World.make(); console.log(w.directory); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [directory] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  await access(directory);
  child.kill('SIGKILL');
  await until('the directory is gone', () =>
    access(directory).then(
      () => false,
      () => true,
    ),
  );
  t.pass();
});
