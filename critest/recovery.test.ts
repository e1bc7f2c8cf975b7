import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { codeOf } from '../base/errors.ts';
import { TestDaemon } from './harness/daemon.ts';
import { idle, runPod, type TestContainer } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';
import { buildTree, sourceTree } from './harness/tree.ts';
import { until } from './harness/until.ts';
import { waitedMs } from './harness/waited.ts';

const daemon = suiteDaemon();
/** Writes a number every 20 ms for ever. */
const counter = 'trap "exit 0" TERM; i=0; while :; do echo $i; i=$((i+1)); usleep 20000; done';
const supervisorOf = async (container: TestContainer): Promise<number> => {
  const pid = await container.pid();
  return Number(await daemon().world.sh(`awk '{print $4}' /proc/${pid}/stat`));
};
const numbers = async (container: TestContainer): Promise<number[]> =>
  (await container.text()).trim().split('\n').filter(Boolean).map(Number);

test('a container and its log go on while the daemon is dead, and it is the same container after the restart', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(counter);
  const pid = await container.pid();
  await until('it has begun', async () => (await numbers(container)).length > 2);
  await daemon().kill();
  const before = (await numbers(container)).length;
  await until('its log goes on', async () => (await numbers(container)).length > before + 5);
  await daemon().boot();
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
  t.is(await container.pid(), pid);
  const written = await numbers(container);
  t.deepEqual(
    written,
    written.map((_, index) => index),
  );
});

test('the exit code, time and reason of a container that ended while the daemon was dead are there after the restart', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('until [ -e /go ]; do usleep 20000; done; echo last words; exit 42');
  const root = `/proc/${await container.pid()}/root`;
  await daemon().kill();
  await daemon().world.sh(`touch ${root}/go`);
  const bundle = daemon().world.path('state/containers', container.id);
  await until('its end is recorded', async () => (await readdir(bundle)).includes('exit'));
  const end = BigInt(Date.now() + 1) * 1_000_000n;
  await daemon().boot();
  const status = await container.status();
  t.deepEqual([status.state, status.exit_code, status.reason], ['CONTAINER_EXITED', 42, 'Error']);
  t.true(status.finished_at < end && status.finished_at > status.started_at);
  t.is(await container.text(), 'last words\n');
});

test('exec, log rotation and stop work on a container that an earlier daemon started', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('trap "exit 11" TERM; sleep 86400 & wait');
  await daemon().killAndBoot();
  t.is((await container.exec('echo again')).stdout, 'again\n');
  await rm(container.logFile);
  await daemon().client.ReopenContainerLog({ container_id: container.id });
  await stat(container.logFile);
  await container.stop(10);
  t.is((await container.status()).exit_code, 11);
});

test('a created container can be started by the next daemon, and a pod takes new containers', async (t) => {
  const pod = await runPod(daemon());
  const created = await pod.create('echo later');
  await daemon().killAndBoot();
  await created.start();
  await created.exited();
  t.is(await created.text(), 'later\n');
  t.is((await pod.output('echo new')).stdout, 'new\n');
});

test('images are there after a kill -9, and pods keep their address', async (t) => {
  const pod = await runPod(daemon());
  const state = async (): Promise<unknown> => [
    (await daemon().client.ListImages({})).images.map(({ id, repo_tags }) => [id, [...repo_tags].sort()]).sort(),
    (await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id })).status?.network?.ip,
  ];
  const before = await state();
  await daemon().killAndBoot();
  t.deepEqual(await state(), before);
});

test('SIGTERM ends the daemon with status 0 and leaves the containers running; a call in flight has its moment to end', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(counter);
  const { world } = daemon();
  const root = `/proc/${await container.pid()}/root`;
  const call = container.exec('touch /begun; until [ -e /go ]; do usleep 20000; done; echo done');
  await until('the call runs', async () => (await world.sh(`ls ${root}`)).includes('begun'));
  const stopped = daemon().stop();
  await until('the daemon stops', async () => /berthd stops/.test(await daemon().log(10)));
  await sleep(200);
  await world.sh(`touch ${root}/go`);
  t.is((await call).stdout, 'done\n');
  t.is(await stopped, 0);
  await daemon().boot();
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
});

test('the agent killed with -9 is replaced: containers run on and new ones are made', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(counter);
  const [agent] = await daemon().pidsOf('berth-agent');
  await daemon().world.sh(`kill -9 ${agent}`);
  await until('another agent runs', async () => {
    const [now] = await daemon().pidsOf('berth-agent');
    return now !== undefined && now !== agent;
  });
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
  t.is((await pod.output('echo new')).stdout, 'new\n');
  t.is((await container.exec('echo exec')).stdout, 'exec\n');
});

test('a supervisor killed with -9: its container is killed and ended with 137, Error, "supervisor died"', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('setsid sleep 5432 & sleep 5432');
  await daemon().world.sh(`kill -9 ${await supervisorOf(container)}`);
  const late = container.exec('true').catch((error: unknown) => codeOf(error));
  const status = await container.exited();
  t.deepEqual([status.exit_code, status.reason, status.message], [137, 'Error', 'supervisor died']);
  t.is(await late, 'failed-precondition');
  t.is(await daemon().world.sh('ps -e -o args= | grep "[s]leep 5432" || true'), '');
});

test('a supervisor that was killed while the daemon was dead is found at the start', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('setsid sleep 5433 & sleep 5433');
  const supervisor = await supervisorOf(container);
  await daemon().kill();
  await daemon().world.sh(`kill -9 ${supervisor}`);
  await daemon().boot();
  const status = await container.exited();
  t.deepEqual([status.exit_code, status.reason, status.message], [137, 'Error', 'supervisor died']);
  t.is(await daemon().world.sh('ps -e -o args= | grep "[s]leep 5433" || true'), '');
});

test('A4: a supervisor that does not answer is not called dead, and its container is not run twice', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(counter);
  const [supervisor, pid] = [await supervisorOf(container), await container.pid()];
  const supervisors = async (): Promise<number> => (await daemon().pidsOf('berth-shim')).length;
  await daemon().kill();
  await daemon().world.sh(`kill -STOP ${supervisor}`);
  await daemon().boot();
  t.not((await container.status()).state, 'CONTAINER_EXITED');
  t.is(await supervisors(), 1);
  await daemon().world.sh(`kill -CONT ${supervisor}`);
  await until('it is followed again', async () => (await container.exec('true').catch(() => undefined))?.code === 0);
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
  t.deepEqual([await container.pid(), await supervisors()], [pid, 1]);
});

test('an exec that comes when the container has just ended is told so, whatever is left of its cgroup', async (t) => {
  const pod = await runPod(daemon());
  for (let i = 0; i < 4; i += 1) {
    const container = await pod.run(idle);
    const [supervisor, pid] = [await supervisorOf(container), await container.pid()];
    await daemon().world.sh(`kill -STOP ${supervisor}; kill -KILL ${pid}`);
    await until('it has ended', async () => / Z /.test(await daemon().world.sh(`cat /proc/${pid}/stat`)));
    const scope = `/sys/fs/cgroup${daemon().cgroupOf(container)}`;
    if (daemon().world.systemd) await until('the scope is gone', () => !existsSync(scope));
    const late = container.exec('true').catch((error: unknown) => codeOf(error));
    await daemon().world.sh(`kill -CONT ${supervisor}`);
    t.is(`${await late}`, 'failed-precondition');
  }
});

test('A2: lists and statuses are answered while a supervisor, and the agent, do not', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(counter);
  const pids = [await supervisorOf(container), ...(await daemon().pidsOf('berth-agent'))].join(' ');
  await daemon().world.sh(`kill -STOP ${pids}`);
  const stuck = container.stop(5);
  const waited = async (): Promise<number> =>
    (await waitedMs('/proc/self')) + (await waitedMs(daemon().world.seen(`/proc/${daemon().pid}`)));
  const before = await waited();
  const started = performance.now();
  await daemon().client.ListContainers({});
  await daemon().client.ListPodSandbox({});
  await container.status();
  await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id });
  await daemon().client.ListImages({});
  await daemon().client.Status({});
  // Who waits for one of these waits for ever, or for the seconds that its answer may take.
  const took = performance.now() - started - ((await waited()) - before);
  await daemon().world.sh(`kill -CONT ${pids}`);
  await stuck;
  t.true(took < 1800, `${took} ms`);
});

test('A8: a broken state file is set aside with a warning, and everything else is served', async (t) => {
  const [good, bad] = [await runPod(daemon()), await runPod(daemon())];
  const file = daemon().world.path('root/state/sandboxes', `${bad.id}.json`);
  await bad.remove();
  await daemon().kill();
  await writeFile(file, '{"version":1,');
  await daemon().boot();
  const { items } = await daemon().client.ListPodSandbox({});
  t.deepEqual(
    items.map(({ id }) => id),
    [good.id],
  );
  const names = await readdir(daemon().world.path('root/state/sandboxes'));
  t.false(names.includes(`${bad.id}.json`));
  t.true((await daemon().log()).includes(bad.id));
  await daemon().world.sh(`find ${daemon().world.path('root')} -name '*${bad.id}*' -delete`);
});

test('where the clock was set back the next sandbox of a pod, and its next container, are still the latest for kubelet', async (t) => {
  const metadata = { name: 'back', uid: 'back-in-time', attempt: 0 };
  const pod = await runPod(daemon(), { metadata });
  const container = await pod.create(idle, { metadata: { name: 'c' } });
  await pod.stop();
  await daemon().kill();
  // In the year 2100, as if the clock had been wrong then.
  const [ofPod, ofContainer] = [4_102_444_800_000_000_000n, 4_102_444_800_000_000_005n];
  for (const [kind, id, time] of [
    ['sandboxes', pod.id, ofPod] as const,
    ['containers', container.id, ofContainer] as const,
  ]) {
    const file = daemon().world.path('root/state', kind, `${id}.json`);
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/"createdAt":"\d+"/, `"createdAt":"${time}"`));
  }
  await daemon().boot();
  const next = await runPod(daemon(), { metadata: { ...metadata, attempt: 1 } });
  const again = await next.create(idle, { metadata: { name: 'c', attempt: 1 } });
  const other = await runPod(daemon());
  const { items } = await daemon().client.ListPodSandbox({});
  const at = (id: string): bigint => items.find((one) => one.id === id)?.created_at ?? 0n;
  t.deepEqual([at(pod.id), at(next.id)], [ofPod, ofContainer + 1n]);
  t.is((await again.status()).created_at, ofContainer + 2n);
  t.true(at(other.id) < ofPod);
});

test('A6: after a reboot pods are not ready, containers have ended, and their addresses are given back', async (t) => {
  const { world } = daemon();
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  const waiting = await pod.create(idle);
  const addresses = async (): Promise<string[]> =>
    (await readdir(world.path('ipam/test'))).filter((name) => /^\d+\.\d+\.\d+\.\d+$/.test(name));
  t.is((await addresses()).length, 1);
  const pid = await container.pid();
  const supervisor = await supervisorOf(container);
  await daemon().kill();
  // What a reboot takes: processes, namespaces with their pins, and the state directory, which is a tmpfs then.
  await world.sh(`kill -9 ${supervisor} ${pid}`);
  await world.sh(
    `for m in $(cut -d' ' -f5 /proc/self/mountinfo | grep -E '^${world.directory}/(netns|state)/'); do umount $m; done`,
  );
  await world.sh(`rm -rf ${world.path('state')} ${world.path('netns')}`);
  await world.sh(
    `find /sys/fs/cgroup -depth -type d -path '*/${world.cgroup}*' -exec rmdir {} ';' 2>/dev/null || true`,
  );
  await daemon().boot();
  const { status } = await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id });
  t.is(status?.state, 'SANDBOX_NOTREADY');
  const ended = await container.status();
  t.is(ended.state, 'CONTAINER_EXITED');
  t.deepEqual([ended.exit_code, ended.reason], [137, 'Error']);
  t.is(ended.message, 'the machine was restarted while it ran');
  t.true(ended.created_at <= ended.started_at && ended.started_at <= ended.finished_at);
  const { exit_code, reason } = await waiting.status();
  t.deepEqual([exit_code, reason], [128, 'StartError']);
  await until('the address is given back', async () => (await addresses()).length === 0);
  await pod.remove();
  const next = await runPod(daemon(), { ...pod.config, metadata: { ...pod.config.metadata, attempt: 1 } });
  t.is((await next.output('echo up')).stdout, 'up\n');
});

test('A1: after a kill -9 in the middle of RunPodSandbox the same request makes the pod', async (t) => {
  const pod = await runPod(daemon());
  const { config } = pod;
  await pod.remove();
  const call = daemon()
    .client.RunPodSandbox({ config })
    .catch(() => {});
  await sleep(8);
  await daemon().killAndBoot();
  await call;
  const { pod_sandbox_id } = await daemon().client.RunPodSandbox({ config });
  t.is((await daemon().client.ListPodSandbox({})).items.map(({ id }) => id).join(), pod_sandbox_id);
});

test('A3: no supervisor is left when its bundle and its record are gone', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('sleep 5434');
  await daemon().kill();
  await rm(daemon().world.path('root/state/containers', `${container.id}.json`));
  await daemon().boot();
  await until('the stray is ended', async () => (await daemon().pidsOf('berth-shim')).length === 0);
  t.is(await daemon().world.sh('ps -e -o args= | grep "[s]leep 5434" || true'), '');
});

/** How long a start took, in milliseconds, less those in which the daemon waited for a processor. */
const bootMs = async (): Promise<number> => {
  const started = performance.now();
  await daemon().boot();
  const took = performance.now() - started;
  return took - (await waitedMs(daemon().world.seen(`/proc/${daemon().pid}`)));
};

test('A22: a daemon with ten pods and ten containers answers within three seconds of its start', async (t) => {
  const pods = await Promise.all(Array.from({ length: 10 }, () => runPod(daemon())));
  const containers = await Promise.all(pods.map((pod) => pod.run(idle)));
  await daemon().kill();
  const took = await bootMs();
  t.log(`${took.toFixed(0)} ms`);
  t.true(took < 3000, `${took} ms`);
  for (const container of containers) t.is((await container.status()).state, 'CONTAINER_RUNNING');
});

test('A22: three supervisors that hang cost a start two seconds together, not each, and the other containers are served', async (t) => {
  const pod = await runPod(daemon());
  const containers = await Promise.all(Array.from({ length: 4 }, () => pod.run(idle)));
  const hung = containers.slice(1);
  const pids = (await Promise.all(hung.map(supervisorOf))).join(' ');
  await daemon().kill();
  // As if that it runs had not been written yet: a start of it waits until its supervisor has said so.
  await rm(join(daemon().world.path('state/containers'), hung[0]?.id ?? '', 'running'));
  await daemon().world.sh(`kill -STOP ${pids}`);
  const took = await bootMs();
  t.is((await containers[0]?.exec('echo served'))?.stdout, 'served\n');
  const again = hung[0]?.start();
  const refused = t.throwsAsync(async () => again, { code: 'failed-precondition', message: /: it is running,/ });
  await daemon().world.sh(`kill -CONT ${pids}`);
  await refused;
  t.true(took < 5500, `${took} ms`);
  for (const container of hung)
    await until('it is followed again', async () => (await container.exec('true').catch(() => undefined))?.code === 0);
});

test('a stale socket is replaced, a live one is refused with its name; a start tells of a drop-in that is not read for its name', async (t) => {
  const socket = daemon().address.slice('unix://'.length);
  await daemon().kill();
  t.true((await stat(socket)).isSocket());
  const file = daemon().world.path('config.d/10-limits.conf');
  await mkdir(dirname(file));
  await writeFile(file, 'limits.pids = 5\n');
  await daemon().boot();
  t.true((await daemon().log()).includes(`${file}: not read: only files whose names end in .toml are drop-ins`));
  await rm(dirname(file), { recursive: true });
  const second = await daemon().world.run(process.execPath, [
    join(buildTree, 'bin/berthd.js'),
    '--config',
    daemon().world.path('config.toml'),
  ]);
  t.not(second.status, 0);
  t.true(second.stderr.includes(socket) || second.stdout.includes(socket), second.stderr);
  t.is((await daemon().client.Version({})).runtime_name, 'berth');
});

test('a second daemon on the same root is refused before it touches anything, whatever it listens on', async (t) => {
  const { world } = daemon();
  const before = await daemon().snapshot();
  const listen = `unix://${world.path('second.sock')}`;
  const args = [join(buildTree, 'bin/berthd.js'), '--config', world.path('config.toml'), '--listen', listen];
  const second = await world.run(process.execPath, args);
  t.not(second.status, 0);
  t.regex(second.stderr, /berthd\.sock: another process answers there/);
  t.deepEqual(await daemon().leftSince(before), []);
});

test('what is at the socket path and is no socket is not removed', async (t) => {
  await using other = await TestDaemon.prepare();
  await writeFile(other.world.path('b.sock'), 'mine');
  const child = await other.launch();
  t.not(await other.ended(), 0);
  t.truthy(child);
  t.is(await readFile(other.world.path('b.sock'), 'utf8'), 'mine');
});

test('containerd 2024-25621: root and state directories that anybody could read are closed at the start', async (t) => {
  await daemon().kill();
  for (const name of ['root', 'state']) await chmod(daemon().world.path(name), 0o755);
  await daemon().boot();
  for (const name of ['root', 'state']) t.is((await stat(daemon().world.path(name))).mode & 0o777, 0o700, name);
});

test('C: a state directory too long for its sockets is refused at start with the length allowed', async (t) => {
  await using other = await TestDaemon.prepare();
  const long = other.world.path('x'.repeat(90));
  await mkdir(long);
  await other.configure({ state: long, listen: `unix://${long}/berth.sock` });
  await other.launch();
  t.not(await other.ended(), 0);
  t.regex(await other.log(), /107/);
});

test('SIGKILL of daemon, agent and supervisor together: the container has ended with 137 and nothing of it runs', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('setsid sleep 5435 & sleep 5435');
  const pids = [await supervisorOf(container), ...(await daemon().pidsOf('berth-agent')), daemon().pid];
  await daemon().world.sh(`kill -9 ${pids.join(' ')}`);
  await daemon().ended();
  await daemon().boot();
  const status = await container.exited();
  t.is(status.exit_code, 137);
  t.is(await daemon().world.sh('ps -e -o args= | grep "[s]leep 5435" || true'), '');
});

test('bin/berthd runs the daemon and --help reads without a daemon', async (t) => {
  const help = spawn(join(sourceTree, 'bin/berthd'), ['--help'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const part of help.stdout) text += String(part);
  for (const flag of ['--config', '--root', '--state', '--listen', '--log-level']) t.true(text.includes(flag), flag);
});

test('a server that is not ours at the socket path is refused as well', async (t) => {
  await using other = await TestDaemon.prepare();
  const server = createServer().listen(other.world.path('b.sock'));
  await other.launch();
  t.not(await other.ended(), 0);
  t.regex(await other.log(), /b\.sock/);
  server.close();
});
