import test from 'ava';
import { podConfig, runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

const daemon = suiteDaemon();
const unknown = 'f'.repeat(64);

test('a pod is ready when RunPodSandbox returns, and its status has what it was made with', async (t) => {
  const before = BigInt(Date.now()) * 1_000_000n;
  const pod = await runPod(daemon(), { labels: { app: 'a' }, annotations: { note: 'é\n' } });
  const { status } = await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id });
  t.regex(pod.id, /^[0-9a-f]{64}$/);
  t.is(status?.id, pod.id);
  t.is(status?.state, 'SANDBOX_READY');
  t.is(status?.metadata?.name, pod.config.metadata?.name);
  t.is(status?.metadata?.namespace, 'default');
  t.deepEqual(status?.labels, { app: 'a' });
  t.deepEqual(status?.annotations, { note: 'é\n' });
  t.true((status?.created_at ?? 0n) >= before);
  t.regex(status?.network?.ip ?? '', /^10\.88\.\d+\.\d+$/);
});

test('the verbose status of a pod has info, the other one has none', async (t) => {
  const pod = await runPod(daemon());
  const plain = await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id });
  const verbose = await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id, verbose: true });
  t.deepEqual(plain.info, {});
  t.like(JSON.parse(verbose.info.info ?? ''), {
    config: { metadata: { name: pod.config.metadata?.name } },
    runtimeSpec: { linux: { namespaces: [{ type: 'network' }, { type: 'ipc' }, { type: 'uts' }] } },
  });
});

test('A1: a repeated RunPodSandbox gets the id of the first', async (t) => {
  const pod = await runPod(daemon());
  const again = await daemon().client.RunPodSandbox({ config: pod.config });
  t.is(again.pod_sandbox_id, pod.id);
  t.is((await daemon().client.ListPodSandbox({})).items.length, 1);
});

test('A1: ten RunPodSandbox of the same pod at once make one pod', async (t) => {
  const config = podConfig(daemon());
  const answers = await Promise.all(Array.from({ length: 10 }, () => daemon().client.RunPodSandbox({ config })));
  t.is(new Set(answers.map(({ pod_sandbox_id }) => pod_sandbox_id)).size, 1);
  t.is((await daemon().client.ListPodSandbox({})).items.length, 1);
});

test('A1: a retry after the client gave up joins the first call', async (t) => {
  const config = podConfig(daemon());
  const given = new AbortController();
  const first = daemon().client.RunPodSandbox({ config }, { signal: given.signal });
  setTimeout(() => given.abort(), 3);
  await first.catch(() => {});
  const { pod_sandbox_id } = await daemon().client.RunPodSandbox({ config });
  const { items } = await daemon().client.ListPodSandbox({});
  t.deepEqual(
    items.map(({ id }) => id),
    [pod_sandbox_id],
  );
});

test('another attempt of the same pod is another pod', async (t) => {
  const pod = await runPod(daemon());
  const { metadata } = pod.config;
  const next = await runPod(daemon(), { ...pod.config, metadata: { ...metadata, attempt: 1 } });
  t.not(next.id, pod.id);
});

test('the same pod with another configuration is refused while the first is there', async (t) => {
  const pod = await runPod(daemon());
  const config = { ...pod.config, labels: { other: 'yes' } };
  await fails(t, daemon().client.RunPodSandbox({ config }), 'already-exists', new RegExp(pod.id));
});

test('StopPodSandbox is idempotent, and a stopped pod is NOTREADY and has no address', async (t) => {
  const pod = await runPod(daemon());
  await pod.stop();
  await pod.stop();
  const { status } = await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id });
  t.is(status?.state, 'SANDBOX_NOTREADY');
  t.is(status?.network?.ip ?? '', '');
});

test('stopping and removing a pod that is not there is no error', async (t) => {
  await t.notThrowsAsync(daemon().client.StopPodSandbox({ pod_sandbox_id: unknown }));
  await t.notThrowsAsync(daemon().client.RemovePodSandbox({ pod_sandbox_id: unknown }));
});

test('RemovePodSandbox is idempotent and takes a running pod with its containers', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('sleep 1000');
  await daemon().client.RemovePodSandbox({ pod_sandbox_id: pod.id });
  await daemon().client.RemovePodSandbox({ pod_sandbox_id: pod.id });
  await fails(t, daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id }), 'not-found', new RegExp(pod.id));
  await fails(t, container.status(), 'not-found', new RegExp(container.id));
});

test('the status of a pod that is not there is NOT_FOUND and names the id', async (t) => {
  await fails(t, daemon().client.PodSandboxStatus({ pod_sandbox_id: unknown }), 'not-found', new RegExp(unknown));
});

test('an empty pod id is refused by each call that takes one', async (t) => {
  const { client } = daemon();
  await fails(t, client.PodSandboxStatus({ pod_sandbox_id: '' }), 'invalid-argument', /id is empty/);
  await fails(t, client.StopPodSandbox({ pod_sandbox_id: '' }), 'invalid-argument', /id is empty/);
  await fails(t, client.RemovePodSandbox({ pod_sandbox_id: '' }), 'invalid-argument', /id is empty/);
});

test('a pod without config or metadata is refused, and so is a runtime handler that nobody configured', async (t) => {
  const { client } = daemon();
  const config = podConfig(daemon());
  await fails(t, client.RunPodSandbox({}), 'invalid-argument', /config/);
  await fails(t, client.RunPodSandbox({ config: { hostname: 'a' } }), 'invalid-argument', /metadata/);
  await fails(t, client.RunPodSandbox({ config, runtime_handler: 'kata' }), 'invalid-argument', /kata/);
});

test('list filters by id, id prefix, state, labels, and all of them together', async (t) => {
  const one = await runPod(daemon(), { labels: { app: 'a', tier: 'x' } });
  const two = await runPod(daemon(), { labels: { app: 'a', tier: 'y' } });
  const three = await runPod(daemon(), { labels: { app: 'b' } });
  await three.stop();
  const ids = async (filter: object): Promise<string[]> =>
    (await daemon().client.ListPodSandbox({ filter })).items.map(({ id }) => id).sort();
  t.deepEqual(await ids({}), [one.id, two.id, three.id].sort());
  t.deepEqual(await ids({ id: one.id }), [one.id]);
  t.deepEqual(await ids({ id: one.id.slice(0, 20) }), [one.id]);
  t.deepEqual(await ids({ id: unknown }), []);
  t.deepEqual(await ids({ state: { state: 'SANDBOX_READY' } }), [one.id, two.id].sort());
  t.deepEqual(await ids({ state: { state: 'SANDBOX_NOTREADY' } }), [three.id]);
  t.deepEqual(await ids({ label_selector: { app: 'a' } }), [one.id, two.id].sort());
  t.deepEqual(await ids({ label_selector: { app: 'a', tier: 'y' } }), [two.id]);
  t.deepEqual(await ids({ label_selector: { app: 'b' }, state: { state: 'SANDBOX_READY' } }), []);
  t.deepEqual(await ids({ label_selector: { constructor: 'a' } }), []);
});

test('a pod has its own hostname, ipc and network; a host-network pod has the host name and the host links', async (t) => {
  const pod = await runPod(daemon(), { hostname: 'my-own-name' });
  const own = await pod.output('hostname; cat /etc/hostname; grep my-own-name /etc/hosts; ip -o link | wc -l');
  const [name, file, hosts, links] = own.stdout.trim().split('\n');
  t.deepEqual([name, file, links], ['my-own-name', 'my-own-name', '2']);
  t.regex(hosts ?? '', /^10\.88\.\d+\.\d+\s+my-own-name$/);
  const host = await runPod(daemon(), {
    hostname: '',
    linux: { security_context: { namespace_options: { network: 'NODE' } } },
  });
  const shared = await host.output('hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/uts');
  t.is(shared.stdout, await daemon().world.sh('hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/uts'));
});

test('the DNS configuration of the request becomes resolv.conf', async (t) => {
  const dns_config = { servers: ['10.0.0.10'], searches: ['a.example', 'b.example'], options: ['ndots:5'] };
  const { stdout } = await (await runPod(daemon(), { dns_config })).output('cat /etc/resolv.conf');
  t.is(stdout, 'search a.example b.example\nnameserver 10.0.0.10\noptions ndots:5\n');
});

test('sysctls of the pod are set in its namespaces, those of the host are refused', async (t) => {
  const linux = { sysctls: { 'net.ipv4.ip_unprivileged_port_start': '1024', 'kernel.shm_rmid_forced': '1' } };
  const pod = await runPod(daemon(), { linux });
  const { stdout } = await pod.output(
    'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced',
  );
  t.is(stdout, '1024\n1\n');
  const bad = (sysctls: Record<string, string>): Promise<unknown> => runPod(daemon(), { linux: { sysctls } });
  await fails(t, bad({ 'kernel.panic': '1' }), 'invalid-argument', /kernel\.panic/);
  await fails(t, bad({ 'vm.swappiness': '1' }), 'invalid-argument', /vm\.swappiness/);
});

test('cri-o 2022-0811: a sysctl value that would smuggle another one in is refused', async (t) => {
  const linux = { sysctls: { 'kernel.shm_rmid_forced': '1+kernel.core_pattern=|/bin/sh' } };
  await t.throwsAsync(runPod(daemon(), { linux }));
  const newline = { sysctls: { 'kernel.shm_rmid_forced': '1\nkernel.panic=1' } };
  await fails(t, runPod(daemon(), { linux: newline }), 'invalid-argument', /shm_rmid_forced/);
});

test('path traversal in names, ids and the log directory is refused and leaves nothing', async (t) => {
  const config = (metadata: object): ReturnType<typeof podConfig> => podConfig(daemon(), { metadata });
  const bad = (metadata: object): Promise<unknown> => daemon().client.RunPodSandbox({ config: config(metadata) });
  await fails(t, bad({ name: '../../etc' }), 'invalid-argument', /metadata\.name/);
  await fails(t, bad({ uid: '..' }), 'invalid-argument', /metadata\.uid/);
  await fails(t, bad({ namespace: 'a/b' }), 'invalid-argument', /metadata\.namespace/);
  const relative = podConfig(daemon(), { log_directory: 'logs' });
  await fails(t, daemon().client.RunPodSandbox({ config: relative }), 'invalid-argument', /log_directory/);
  const upward = podConfig(daemon(), { log_directory: `${daemon().world.path('logs')}/../../etc` });
  await fails(t, daemon().client.RunPodSandbox({ config: upward }), 'invalid-argument', /log_directory/);
  const { client } = daemon();
  const id = '../../etc/passwd';
  await fails(t, client.PodSandboxStatus({ pod_sandbox_id: id }), 'not-found', /passwd/);
  await t.notThrowsAsync(client.RemovePodSandbox({ pod_sandbox_id: id }));
});

test('cri-o 2022-4318: control bytes in a host name are refused', async (t) => {
  await fails(t, runPod(daemon(), { hostname: 'a\nb' }), 'invalid-argument', /hostname/);
});
