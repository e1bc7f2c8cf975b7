import { lstat, mkdir, writeFile } from 'node:fs/promises';
import test from 'ava';
import { importEntries, link, madeImages } from './harness/made-image.ts';
import { idle, runPod, type TestContainer } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';
import type { TarEntry } from './harness/tar.ts';

// What stands in images here is on purpose: only the name of the image differs between the tests.
const daemon = suiteDaemon({ ignore: madeImages });

const importOne = (name: string, entries: readonly TarEntry[]): Promise<string> =>
  importEntries(daemon(), name, entries);

/** True when the container started; a start that is refused is fine as well. */
const started = (container: TestContainer): Promise<boolean> =>
  container.start().then(
    () => true,
    () => false,
  );

const absent = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => false,
    () => true,
  );

for (const place of ['proc', 'sys', 'dev', 'dev/pts', 'dev/shm', 'etc', 'etc/hosts', 'etc/resolv.conf', 'etc/hostname'])
  test(`an image whose /${place} is a link out of its root changes nothing on the host`, async (t) => {
    const { world } = daemon();
    const trap = world.path('logs-trap', place.replaceAll('/', '-'));
    await mkdir(trap, { recursive: true });
    const name = place.replaceAll('/', '-');
    const up = '../../../../../../../..';
    const reference = await importOne(name, [link(place, `${up}${trap}/made`)]);
    const container = await (await runPod(daemon())).create(idle, { image: { image: reference } });
    await started(container);
    t.true(await absent(`${trap}/made`));
    t.is(await world.sh(`find ${trap} -mindepth 1 | wc -l`), '0\n');
  });

test('a mount onto a path through a link to /, or with .. in it, stays inside the root', async (t) => {
  const { world } = daemon();
  const source = world.path('logs-source');
  const reference = await importOne('root-link', [link('link', '/'), link('up', '../../../..')]);
  await writeFile(source, 'from the host');
  const pod = await runPod(daemon());
  for (const at of ['/link/made-1', '/up/made-2', '/a/../../../made-3', '/link/link/../made-4']) {
    const mounts = [{ container_path: at, host_path: source }];
    const found = `/${at.split('/').at(-1)}`;
    const container = await pod.create(idle, { image: { image: reference }, mounts });
    if (await started(container))
      t.is((await container.exec(`read -r x <${found} || true; echo "$x"`)).stdout, 'from the host\n', at);
    t.true(await absent(found), at);
  }
});

test('runc 2019-5736: an entrypoint /proc/self/exe, or a script that names it, runs nothing of ours and writes to nothing', async (t) => {
  const script = { name: 'script', mode: 0o755, data: '#!/proc/self/exe\n' };
  const reference = await importOne('self-exe', [script, link('entry', '/proc/self/exe')]);
  const pod = await runPod(daemon());
  for (const word of ['/proc/self/exe', '/entry', '/script']) {
    const container = await pod.create([word, 'supervise', '/'], { image: { image: reference } });
    if (!(await started(container))) {
      t.pass();
      continue;
    }
    // What was executed is the sealed program of the runtime itself: it finds nothing that it could do here.
    t.not((await container.exited()).exit_code, 0, word);
  }
  const container = await pod.run(idle);
  const { code, stdout } = await container.exec(['/proc/self/exe']);
  t.not(code, 0, stdout);
});

test('runc 2024-21626: a working directory of /proc/self/fd/N is refused or inside the root', async (t) => {
  const pod = await runPod(daemon());
  for (let fd = 0; fd < 16; fd += 1) {
    const container = await pod.create('ls -d ../../../../../../..$MARK; pwd', {
      working_dir: `/proc/self/fd/${fd}`,
      envs: [{ key: 'MARK', value: Buffer.from(daemon().world.directory) }],
    });
    if (!(await started(container))) continue;
    await container.exited();
    t.notRegex(await container.text('stdout'), /bt/, `${fd}`);
  }
  t.pass();
});

test('containerd 2026-47262: an /etc/passwd of 48 MiB is not read whole, and a user who would be in it is refused', async (t) => {
  const { world } = daemon();
  const reference = await importOne('huge-passwd', [{ name: 'etc/passwd', data: Buffer.alloc(48 << 20, 'x') }]);
  const before = Number(await world.sh(`awk '/VmRSS/ {print $2}' /proc/${daemon().pid}/status`));
  const pod = await runPod(daemon());
  const linux = { security_context: { run_as_username: 'somebody' } };
  await t.throwsAsync(pod.create(idle, { image: { image: reference }, linux }));
  const after = Number(await world.sh(`awk '/VmRSS/ {print $2}' /proc/${daemon().pid}/status`));
  t.true(after - before < 64 << 10, `${before} → ${after} KiB`);
});
