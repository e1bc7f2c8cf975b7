import { link, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import test from 'ava';
import { idle, runPod, type TestContainer } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({ config: { limits: { pids: 4096 } } });

test('runc 2021-30465: a directory that becomes a link while another container mounts below it leads nowhere', async (t) => {
  const { world } = daemon();
  const shared = world.path('logs-shared');
  await mkdir(`${shared}/dir/below`, { recursive: true });
  await symlink('/../../../../../../..'.slice(1), `${shared}/link`);
  const source = world.path('logs-race-source');
  await writeFile(source, 'payload');
  const pod = await runPod(daemon());
  const volume = { container_path: '/v', host_path: shared };
  const swap =
    'while :; do mv /v/dir /v/kept; mv /v/link /v/dir; mv /v/dir /v/link; mv /v/kept /v/dir; done 2>/dev/null';
  const attacker = await pod.run(swap, { mounts: [volume] });
  const mounts = [volume, { container_path: '/v/dir/below/berth-race-mark', host_path: source }];
  for (let i = 0; i < 25; i += 1) {
    const victim = await pod.create(idle, { mounts });
    // That the race makes a start fail is fine.
    await victim.start().catch(() => undefined);
    await victim.remove();
  }
  await attacker.stop();
  t.is(await world.sh('ls -d /berth-race-mark /below/berth-race-mark 2>/dev/null || true'), '');
  t.notRegex(await world.sh('cat /proc/self/mountinfo'), /race-mark/);
});

interface Swap {
  readonly title: string;
  readonly place: (path: string, host: string) => Promise<unknown>;
}

const swaps: readonly Swap[] = [
  { title: 'a symlink', place: (path, host) => symlink(host, path) },
  { title: 'a hard link', place: (path, host) => link(host, path) },
  { title: 'a fifo', place: (path) => daemon().world.sh(`mkfifo ${path}`) },
  { title: 'a directory', place: (path) => mkdir(path) },
];

for (const { title, place } of swaps) {
  test(`containerd 2026-53489: ${title} at the log path fails the start and gets nothing`, async (t) => {
    const host = daemon().world.path(`logs-host-${title.replaceAll(' ', '-')}`);
    await writeFile(host, 'before\n');
    const container = await (await runPod(daemon())).create('echo attack');
    await place(container.logFile, host);
    await t.throwsAsync(container.start(), { message: /log/ });
    t.is(await readFile(host, 'utf8'), 'before\n');
  });

  test(`containerd 2026-53489: ${title} at the log path is refused by ReopenContainerLog, and the old log goes on`, async (t) => {
    const host = daemon().world.path(`logs-again-${title.replaceAll(' ', '-')}`);
    await writeFile(host, 'before\n');
    const container = await (await runPod(daemon())).run(`echo first; ${idle}`);
    await rename(container.logFile, `${container.logFile}.1`);
    await place(container.logFile, host);
    await t.throwsAsync(daemon().client.ReopenContainerLog({ container_id: container.id }), { message: /log/ });
    t.is((await container.exec('echo from exec >/proc/1/fd/1')).code, 0);
    t.is(await readFile(host, 'utf8'), 'before\n');
    await until('the old log has it', async () =>
      (await readFile(`${container.logFile}.1`, 'utf8')).includes('from exec'),
    );
  });
}

test('a log directory that became a link between create and start is not followed', async (t) => {
  const elsewhere = daemon().world.path('logs-elsewhere');
  await mkdir(elsewhere);
  const pod = await runPod(daemon());
  const container = await pod.create('echo attack');
  const directory = `${pod.config.log_directory}`;
  await rm(directory, { recursive: true });
  await symlink(elsewhere, directory);
  await t.throwsAsync(container.start(), { message: /log/ });
  t.is(await daemon().world.sh(`find ${elsewhere} -mindepth 1`), '');
  await rm(directory);
});

const removed = async (container: TestContainer): Promise<void> => {
  await container.stop();
  await container.remove();
};

test('what a container leaves in its layer is removed: deep trees, odd names, immutable modes', async (t) => {
  const deep = 'n=0; while [ $n -lt 1500 ]; do mkdir d && cd d || break; n=$((n+1)); done; echo deep $n';
  const odd =
    "mkdir /odd; cd /odd; touch -- '-rf' '*' ' ' \"$(printf 'a\\nb')\" \"$(printf '\\377\\376')\"; mkdir closed; touch closed/in; chmod 0 closed; ls | wc -l";
  const container = await (await runPod(daemon())).run(`(cd /; ${deep}); (${odd}); ${idle}`);
  await until('it has made them', async () => (await container.lines()).length === 2, 60);
  t.is(await container.text('stdout'), 'deep 1500\n6\n');
  await removed(container);
  const layers = daemon().world.path('root/containers');
  await until('its layer is gone, now or behind', async () => (await readdir(layers)).length === 0, 60);
});
