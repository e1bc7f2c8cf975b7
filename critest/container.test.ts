import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { names } from './harness/images.ts';
import { containerConfig, idle, runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({
  images: [names.busybox, names.layered, names.entrypoint, names.labels, names.empty],
});
const unknown = 'e'.repeat(64);

test('a container goes from created to running to exited, with its times in order', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.create('until [ -e /end ]; do usleep 10000; done; exit 7', {
    labels: { app: 'a' },
    annotations: { note: 'n' },
  });
  const created = await container.status();
  t.is(created.state, 'CONTAINER_CREATED');
  t.deepEqual([created.started_at, created.finished_at], [0n, 0n]);
  t.deepEqual([created.labels, created.annotations], [{ app: 'a' }, { note: 'n' }]);
  await container.start();
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
  await container.exec(['touch', '/end']);
  const ended = await container.exited();
  t.is(ended.exit_code, 7);
  t.is(ended.reason, 'Error');
  t.true(ended.created_at <= ended.started_at && ended.started_at < ended.finished_at);
  t.is(ended.log_path, container.logFile);
});

test('a container that ends with 0 is Completed, one that a signal ended has 128 + its number', async (t) => {
  const pod = await runPod(daemon());
  const good = await pod.output('exit 0');
  t.deepEqual([good.status.exit_code, good.status.reason], [0, 'Completed']);
  const child = await pod.output('sh -c "kill -SEGV \\$\\$"; exit $?');
  t.is(child.status.exit_code, 139);
});

test('the image is told in both ways: as asked, and as a reference by its content', async (t) => {
  const pod = await runPod(daemon());
  const { image: asked, image_ref, image_id } = await (await pod.create('true')).status();
  const { image } = await daemon().client.ImageStatus({ image: { image: names.busybox } });
  t.is(asked?.image, names.busybox);
  t.is(image?.id, image_id);
  t.truthy(image_ref);
  const byRef = await daemon().client.ImageStatus({ image: { image: image_ref } });
  t.is(byRef.image?.id, image?.id);
});

test('a container that was created by id has the name that its user gave, and the status tells it', async (t) => {
  const pod = await runPod(daemon());
  const { image } = await daemon().client.ImageStatus({ image: { image: names.busybox } });
  const spec = { image: image?.id ?? '', user_specified_image: names.busybox };
  const container = await pod.create('true', { image: spec });
  t.like((await container.status()).image, { image: names.busybox, user_specified_image: names.busybox });
  const { containers } = await daemon().client.ListContainers({ filter: { id: container.id } });
  t.is(containers[0]?.image?.image, image?.id);
});

test('A1: a repeated CreateContainer gets the id of the first', async (t) => {
  const pod = await runPod(daemon());
  const request = { pod_sandbox_id: pod.id, config: containerConfig('true'), sandbox_config: pod.config };
  const answers = await Promise.all([1, 2, 3].map(() => daemon().client.CreateContainer(request)));
  const later = await daemon().client.CreateContainer(request);
  t.is(new Set([...answers, later].map(({ container_id }) => container_id)).size, 1);
  t.is((await daemon().client.ListContainers({})).containers.length, 1);
});

test('another attempt of the same container is another container', async (t) => {
  const pod = await runPod(daemon());
  const first = await pod.create('true', { metadata: { name: 'same', attempt: 0 } });
  const second = await pod.create('true', { metadata: { name: 'same', attempt: 1 } });
  t.not(second.id, first.id);
});

test('CreateContainer on a stopped pod, and on one that is not there, is refused', async (t) => {
  const pod = await runPod(daemon());
  await pod.stop();
  await fails(t, pod.create('true'), 'failed-precondition', new RegExp(pod.id));
  const request = { pod_sandbox_id: unknown, config: containerConfig('true'), sandbox_config: pod.config };
  await fails(t, daemon().client.CreateContainer(request), 'not-found', new RegExp(unknown));
});

test('StartContainer needs a container that was created and not started', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('true');
  await container.exited();
  await fails(t, container.start(), 'failed-precondition', new RegExp(container.id));
  await fails(t, daemon().client.StartContainer({ container_id: unknown }), 'not-found', new RegExp(unknown));
});

test('RemoveContainer is idempotent and takes a running container', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  await container.remove();
  await container.remove();
  await fails(t, container.status(), 'not-found', new RegExp(container.id));
  await t.notThrowsAsync(daemon().client.RemoveContainer({ container_id: unknown }));
});

test('an empty container id is refused by each call that takes one', async (t) => {
  const { client } = daemon();
  const container_id = '';
  await fails(t, client.ContainerStatus({ container_id }), 'invalid-argument', /id is empty/);
  await fails(t, client.StartContainer({ container_id }), 'invalid-argument', /id is empty/);
  await fails(t, client.StopContainer({ container_id }), 'invalid-argument', /id is empty/);
  await fails(t, client.RemoveContainer({ container_id }), 'invalid-argument', /id is empty/);
  await fails(t, client.ReopenContainerLog({ container_id }), 'invalid-argument', /id is empty/);
  await fails(t, client.ExecSync({ container_id, cmd: ['true'] }), 'invalid-argument', /id is empty/);
});

test('list filters by id, id prefix, pod, state, labels, and all of them together', async (t) => {
  const [pod, other] = await Promise.all([runPod(daemon()), runPod(daemon())]);
  const one = await pod.create('true', { labels: { app: 'a', tier: 'x' } });
  const two = await pod.run(idle, { labels: { app: 'a', tier: 'y' } });
  const three = await other.run('true', { labels: { app: 'b' } });
  await three.exited();
  const ids = async (filter: object): Promise<string[]> =>
    (await daemon().client.ListContainers({ filter })).containers.map(({ id }) => id).sort();
  t.deepEqual(await ids({}), [one.id, two.id, three.id].sort());
  t.deepEqual(await ids({ id: two.id }), [two.id]);
  t.deepEqual(await ids({ id: two.id.slice(0, 20) }), [two.id]);
  t.deepEqual(await ids({ id: unknown }), []);
  t.deepEqual(await ids({ pod_sandbox_id: pod.id }), [one.id, two.id].sort());
  t.deepEqual(await ids({ pod_sandbox_id: other.id.slice(0, 20) }), [three.id]);
  t.deepEqual(await ids({ state: { state: 'CONTAINER_CREATED' } }), [one.id]);
  t.deepEqual(await ids({ state: { state: 'CONTAINER_RUNNING' } }), [two.id]);
  t.deepEqual(await ids({ state: { state: 'CONTAINER_EXITED' } }), [three.id]);
  t.deepEqual(await ids({ label_selector: { app: 'a' } }), [one.id, two.id].sort());
  t.deepEqual(await ids({ label_selector: { app: 'a', tier: 'x' }, pod_sandbox_id: pod.id }), [one.id]);
  t.deepEqual(await ids({ label_selector: { app: 'a' }, pod_sandbox_id: other.id }), []);
});

test("command replaces the image's entrypoint and cmd, args replace its cmd", async (t) => {
  const pod = await runPod(daemon());
  const image = { image: names.entrypoint };
  const run = async (command: string[], args: string[]): Promise<string> =>
    (await pod.output(command, { image, args })).stdout;
  t.is(await run([], []), 'from the image\n');
  t.is(await run([], ['echo from the request']), 'from the request\n');
  t.is(await run(['echo', 'all'], ['new']), 'all new\n');
  t.is(await run(['echo', 'command'], []), 'command\n');
});

test('environment, working directory and arguments arrive byte by byte', async (t) => {
  const pod = await runPod(daemon());
  const value = Uint8Array.from([0x61, 0xff, 0xfe, 0x0a, 0x62]);
  const show = 'printf %s "$RAW" | hexdump -v -e \'1/1 "%02x"\'; echo; tr "\\0" "\\n" </proc/$$/environ | grep ^data';
  const { stdout } = await pod.output(`echo $COLOUR; pwd; ${show}`, {
    image: { image: names.entrypoint },
    envs: [
      { key: 'COLOUR', value: Buffer.from('blue') },
      { key: 'RAW', value },
      { key: 'data-1.x', value: Buffer.from('no name for a shell') },
    ],
    working_dir: '/made/for/it',
  });
  t.is(stdout, 'blue\n/made/for/it\n61fffe0a62\ndata-1.x=no name for a shell\n');
  const fromImage = await pod.output('echo $COLOUR; pwd', { image: { image: names.entrypoint } });
  t.is(fromImage.stdout, 'green\n/work\n');
});

test('a container without any command is refused', async (t) => {
  const pod = await runPod(daemon());
  await fails(t, pod.create([], { image: { image: names.empty } }), 'invalid-argument', /command/);
});

test('two containers of a pod reach each other over localhost', async (t) => {
  const pod = await runPod(daemon());
  await pod.run('mkdir /www; echo hello >/www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www');
  const asked = 'for i in $(seq 500); do wget -qO- http://127.0.0.1:8080/ && exit; usleep 20000; done; exit 1';
  const { stdout, status } = await pod.output(asked);
  t.is(status.exit_code, 0);
  t.is(stdout, 'hello\n');
});

test('C: POSIX shared memory of one container is seen in the other container of the pod, and in no other pod', async (t) => {
  const [pod, other] = await Promise.all([runPod(daemon()), runPod(daemon())]);
  t.is((await pod.output(['shm', 'write', '/mark', 'shared'])).status.exit_code, 0);
  t.is((await pod.output(['shm', 'read', '/mark'])).stdout, 'shared\n');
  t.is((await other.output(['shm', 'read', '/mark'])).status.exit_code, 1);
  const { stdout } = await pod.output('stat -c %a /dev/shm; df -m /dev/shm | tail -1; grep " /dev/shm " /proc/mounts');
  const [mode, size, mount] = stdout.trim().split('\n');
  t.is(mode, '1777');
  t.regex(size ?? '', / 64 /);
  t.regex(mount ?? '', /nosuid,nodev,noexec/);
});

test('an exit by a signal of the main process itself is 128 + its number', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('sleep 1000');
  await daemon().world.sh(`kill -KILL ${await container.pid()}`);
  const status = await container.exited();
  t.deepEqual([status.exit_code, status.reason], [137, 'Error']);
});

test('containers of a pod that shares its pid namespace see each other, and an init that is not theirs', async (t) => {
  const pod = await runPod(daemon(), { linux: { security_context: { namespace_options: { pid: 'POD' } } } });
  await pod.run('exec sleep 3456');
  const { stdout } = await pod.output('ps -o pid,user,comm,args');
  t.regex(stdout, /sleep 3456/);
  t.regex(stdout, /^ *1 (?!root).*berth-init/m);
});

test('containers of a pod see their own processes only', async (t) => {
  const pod = await runPod(daemon());
  await pod.run(idle);
  const { stdout } = await pod.output('echo $$; ls -d /proc/[0-9]* | wc -l');
  t.is(stdout.split('\n')[0], '1');
  t.true(Number(stdout.split('\n')[1]) <= 3, stdout);
});

test('C: layers are merged: whiteouts remove, opaque directories hide, /tmp is 1777', async (t) => {
  const pod = await runPod(daemon());
  const { stdout } = await pod.output('ls -d /removed /opaque/* /added 2>/dev/null; stat -c %a /tmp', {
    image: { image: names.layered },
  });
  t.is(stdout, '/added\n/opaque/above\n1777\n');
});

test('what a container writes is its own and goes with it', async (t) => {
  const pod = await runPod(daemon());
  await pod.output('echo mine >/written; rm /etc/passwd');
  const { stdout } = await pod.output('ls /written 2>/dev/null; wc -l </etc/passwd');
  t.is(stdout, '5\n');
});

test('an unknown image is NOT_FOUND, a bad reference INVALID_ARGUMENT', async (t) => {
  const pod = await runPod(daemon());
  const create = (image: string): Promise<unknown> => pod.create('true', { image: { image } });
  await fails(t, create('127.0.0.1:5000/berth/nothing:1'), 'not-found', /berth\/nothing:1/);
  await fails(t, create(`sha256:${'a'.repeat(64)}`), 'not-found', /aaaa/);
  await fails(t, create(''), 'invalid-argument', /image/);
});

const cannotRun: readonly (readonly [string, string, number, RegExp])[] = [
  ['does not exist', '/does/not/exist', 127, /exec \/does\/not\/exist: ENOENT: no such file or directory/],
  ['is not in PATH', 'does-not-exist', 127, /exec does-not-exist .*PATH.*: ENOENT: no such file or directory/],
  ['is below a file', '/etc/passwd/x', 127, /exec \/etc\/passwd\/x: ENOTDIR: not a directory/],
  ['may not be executed', '/etc/passwd', 126, /exec \/etc\/passwd: EACCES: permission denied/],
  ['is a directory', '/tmp', 126, /exec \/tmp: EACCES/],
];
test('a command that cannot be executed fails StartContainer, and has ended with 127 or 126 and ContainerCannotRun', async (t) => {
  const pod = await runPod(daemon());
  for (const [what, command, code, message] of cannotRun) {
    const container = await pod.create([command]);
    await fails(t, container.start(), code === 127 ? 'invalid-argument' : 'permission-denied', message);
    const { state, exit_code, reason, ...status } = await container.status();
    t.deepEqual([state, exit_code, reason], ['CONTAINER_EXITED', code, 'ContainerCannotRun'], what);
    t.regex(status.message, message);
    t.true(status.started_at === 0n && status.created_at <= status.finished_at, what);
  }
});

test('a container that cannot be made ready has ended with 128, StartError and the cause', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.create('true', { working_dir: '/etc/passwd' });
  await fails(t, container.start(), 'invalid-argument', /\/etc\/passwd/);
  const { exit_code, reason, message } = await container.status();
  t.deepEqual([exit_code, reason], [128, 'StartError']);
  t.regex(message, /\/etc\/passwd.*: E[A-Z]+/);
});

test('path traversal in a container name or a log path is refused', async (t) => {
  const pod = await runPod(daemon());
  await fails(
    t,
    pod.create('true', { metadata: { name: '../x' }, log_path: 'x' }),
    'invalid-argument',
    /metadata\.name/,
  );
  await fails(t, pod.create('true', { log_path: '../../escape.log' }), 'invalid-argument', /log_path/);
  await fails(t, pod.create('true', { log_path: '/etc/escape.log' }), 'invalid-argument', /log_path/);
  await fails(t, daemon().client.ContainerStatus({ container_id: '../../x' }), 'not-found', /x/);
});

test('a container without config, metadata or image is refused', async (t) => {
  const { client } = daemon();
  const pod = await runPod(daemon());
  const base = { pod_sandbox_id: pod.id, sandbox_config: pod.config };
  const { metadata: _, ...nameless } = containerConfig('true');
  const { image: __, ...imageless } = containerConfig('true');
  await fails(t, client.CreateContainer(base), 'invalid-argument', /config/);
  await fails(t, client.CreateContainer({ ...base, config: nameless }), 'invalid-argument', /metadata/);
  await fails(t, client.CreateContainer({ ...base, config: imageless }), 'invalid-argument', /image/);
});

test('containerd 2026-53488: what an image says does not become a label of the container', async (t) => {
  const pod = await runPod(daemon());
  const { labels, annotations } = await (await pod.create('true', { image: { image: names.labels } })).status();
  t.deepEqual([labels, annotations], [{}, {}]);
});

test("the pod's status lists its containers", async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  const { containers_statuses } = await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id });
  t.deepEqual(
    containers_statuses.map(({ id, state }) => [id, state]),
    [[container.id, 'CONTAINER_RUNNING']],
  );
});

test('the bundle holds the OCI runtime-spec that was run', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  const file = daemon().world.path('state/containers', container.id, 'config.json');
  const spec: unknown = JSON.parse(await readFile(file, 'utf8'));
  t.like(spec, { ociVersion: '1.2.0', process: { args: ['sh', '-c', idle] } });
});

const deepTree = `
  p=$(for i in $(seq 1000); do printf d/; done)
  for i in 1 2 3 4 5; do
    mkdir -p /t/$i/$p && touch /t/$i/file || exit 1
    [ $i = 1 ] || mv /t/$((i - 1)) /t/$i/$p || exit 1
  done
  cd /t && touch -- -rf ' ' "$(printf 'a\\nb')" "$(printf '\\377')" .berth-0 && ln -s / link && mkfifo pipe
`;

test('a container that made a tree of 5,000 levels and files with odd names is removed whole', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(deepTree);
  const { exit_code } = await container.exited(60);
  t.is(exit_code, 0, await container.text());
  const made = join(daemon().world.path('root/containers', container.id), 'upper/t');
  t.deepEqual((await readdir(made, 'latin1')).sort(), [' ', '-rf', '.berth-0', '5', 'a\nb', 'link', 'pipe', '\xff']);
  await container.remove();
  const layers = daemon().world.path('root/containers');
  await until('it is gone, now or behind', async () => !(await readdir(layers)).includes(container.id), 60);
});

test('C: a writable layer is mounted once and volatile, never again, and who reads a stopped container reads its upper directory', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.create(`echo written >/file; ${idle}`);
  const starts = await Promise.allSettled(Array.from({ length: 5 }, () => container.start()));
  t.is(starts.filter(({ status }) => status === 'fulfilled').length, 1);
  const layer = daemon().world.path('root/containers', container.id);
  const mounted = await daemon().world.sh(`grep ' / ' /proc/${await container.pid()}/mountinfo`);
  t.true(mounted.includes(`upperdir=${layer}/upper`) && /\bvolatile\b/.test(mounted), mounted);
  await until('it has written', async () => (await container.exec('cat /file')).stdout === 'written\n');
  await container.stop(5);
  await fails(t, container.start(), 'failed-precondition', /exited/);
  await daemon().killAndBoot();
  await fails(t, container.start(), 'failed-precondition', /exited/);
  t.is(
    await daemon().world.sh(`cat ${layer}/upper/file; cat /proc/[0-9]*/mounts | grep -c ${container.id} || true`),
    'written\n0\n',
  );
});

test('a working_dir that the image lacks is made as root’s, also below a read-only root and for another user', async (t) => {
  const pod = await runPod(daemon());
  const linux = { security_context: { run_as_user: { value: 1000n }, readonly_rootfs: true } };
  for (const working_dir of ['/opt//made/x/../deep/', 'opt/made/deep']) {
    const { stdout } = await pod.output('pwd; stat -c "%a %u %g" . ..; touch x 2>/dev/null || echo refused', {
      working_dir,
      linux,
    });
    t.is(stdout, '/opt/made/deep\n755 0 0\n755 0 0\nrefused\n', working_dir);
  }
});
