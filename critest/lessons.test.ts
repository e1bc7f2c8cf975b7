import { readdir, readFile, writeFile } from 'node:fs/promises';
import test from 'ava';
import type { ContainerConfig, Input, PodSandboxConfig } from '../api/generated/types.ts';
import { BerthError } from '../base/errors.ts';
import { TestDaemon } from './harness/daemon.ts';
import { names } from './harness/images.ts';
import { importEntries, madeImages } from './harness/made-image.ts';
import { containerConfig, fresh, idle, podConfig, runPod, type TestContainer } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

// What went wrong in the runtimes that came before, and is about neither images nor guests alone.
const daemon = suiteDaemon({ images: [names.busybox, names.labels], ignore: madeImages });

const memoryKib = async (pid: number, field: 'VmRSS' | 'VmHWM' = 'VmRSS'): Promise<number> =>
  Number(await daemon().world.sh(`awk '/${field}/ {print $2}' /proc/${pid}/status`));

test('A12: a pod needs no image, and none of its own comes: it runs where there is no image at all', async (t) => {
  await using other = await TestDaemon.start({ images: [] });
  for (const pid of ['CONTAINER', 'POD'] as const) {
    const pod = await runPod(other, { linux: { security_context: { namespace_options: { pid } } } });
    const { status } = await other.client.PodSandboxStatus({ pod_sandbox_id: pod.id });
    t.is(status?.state, 'SANDBOX_READY');
    t.deepEqual((await other.client.ListImages({})).images, []);
    // Only a pod that shares its pid namespace has a process, and that is the runtime's own program.
    const processes = (await other.world.sh('ps -e -o comm= | grep -c "^berth-init$" || true')).trim();
    t.is(processes, pid === 'POD' ? '1' : '0');
    await pod.remove();
  }
});

test('A21: requests and lists of almost 16 MiB go through, and one that is larger is refused in words', async (t) => {
  const { client } = daemon();
  const pod = await runPod(daemon());
  const annotations = { big: 'x'.repeat(3_900_000) };
  const envs = [{ key: 'BIG', value: Buffer.alloc(9 << 20, 'y') }];
  const created = [await pod.create('true', { annotations, envs })];
  for (let i = 0; i < 3; i += 1) created.push(await pod.create('true', { annotations }));
  const { containers } = await client.ListContainers({});
  t.is(containers.length, 4);
  for (const container of containers) t.is(container.annotations.big?.length, 3_900_000);
  created.push(await pod.create('true', { annotations }));
  await fails(t, client.ListContainers({}), 'resource-exhausted', /16777216|larger than max/);
  // Whoever asks for less still gets it, and the daemon goes on.
  t.is((await client.ListContainers({ filter: { id: created[4]?.id ?? '' } })).containers.length, 1);
  const tooMuch = pod.create('true', { envs: [{ key: 'BIG', value: Buffer.alloc(17 << 20, 'z') }] });
  await fails(t, tooMuch, 'resource-exhausted', /16777216|larger than max/);
});

test('A21: a hundred containers with what a kubelet gives them are in one list', async (t) => {
  const pod = await runPod(daemon());
  const annotations = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`note-${i}`, 'n'.repeat(2000)]));
  await Promise.all(Array.from({ length: 100 }, () => pod.create('true', { annotations })));
  const { containers } = await daemon().client.ListContainers({});
  t.is(containers.length, 100);
  t.is(new Set(containers.map(({ id }) => id)).size, 100);
});

test('A23: a pod has four mounts on the host, one more when it shares its pids, and its containers and execs have none', async (t) => {
  const { world } = daemon();
  const mounts = async (): Promise<string[]> =>
    (await world.sh('cut -d" " -f5 /proc/self/mountinfo')).trim().split('\n').sort();
  const before = await mounts();
  const added = async (): Promise<string[]> => {
    const rest = [...before];
    return (await mounts()).filter((path) => {
      const at = rest.indexOf(path);
      if (at >= 0) rest.splice(at, 1);
      return at < 0;
    });
  };
  for (const [pid, most] of [
    ['CONTAINER', 4],
    ['POD', 5],
  ] as const) {
    const security_context = { namespace_options: { pid } };
    const pod = await runPod(daemon(), { linux: { security_context } });
    const ofPod = await added();
    t.true(ofPod.length <= most, ofPod.join(' '));
    for (let i = 0; i < 3; i += 1) await (await pod.run(idle, { linux: { security_context } })).exec('true');
    t.deepEqual(await added(), ofPod);
    await pod.remove();
    t.deepEqual(await added(), []);
  }
});

test('cri-o 2022-1708: an exec that writes without end costs neither memory nor disk, and gets its 16 MiB', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const supervisor = Number(await daemon().world.sh(`awk '{print $4}' /proc/${await container.pid()}/stat`));
  const { world } = daemon();
  const disk = (): Promise<string> => world.sh(`du -s ${world.path('root')} ${world.path('state')} | cut -f1`);
  const flood = async (mebibytes: number): Promise<number> => {
    const cmd = ['sh', '-c', `head -c ${mebibytes}m /dev/zero & head -c ${mebibytes}m /dev/zero >&2; wait`];
    const { stdout, stderr } = await daemon().client.ExecSync({ container_id: container.id, cmd });
    const both = stdout.length + stderr.length;
    t.true(both > 15 << 20 && both <= 16 << 20, `${stdout.length} ${stderr.length}`);
    return memoryKib(daemon().pid, 'VmHWM');
  };
  const before = await disk();
  const [little, much] = [await flood(18), await flood(44)];
  t.true(much - little < 48 << 10, `berthd: ${little} KiB, then ${much}`);
  t.true((await memoryKib(supervisor, 'VmHWM')) < 4 << 10);
  t.is(await disk(), before);
});

test('A11: what no record reaches is found from the roots and removed at the start, what one reaches stays, and the use of each image is told with it', async (t) => {
  const { world, client } = daemon();
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  const stray = 'ab'.repeat(32);
  const made = [
    `root/containers/${stray}/upper`,
    `root/images/layers/${stray}/fs`,
    `root/images/fixups/${stray}/fs`,
    `state/containers/${stray}`,
    `state/sandboxes/${stray}`,
  ].map((path) => world.path(path));
  const blob = world.path('root/images/blobs/sha256', stray);
  const { images } = await client.ListImages({});
  const total = async (): Promise<bigint> =>
    (await daemon().client.ImageFsInfo({})).image_filesystems[0]?.used_bytes?.value ?? -1n;
  const used = await total();
  for (const { id, size } of images) t.true(size > 0n && size <= used, id);
  await daemon().kill();
  await world.sh(`mkdir -p ${made.join(' ')}; head -c 8m /dev/zero | tee ${blob} >${made[1]}/file`);
  await daemon().boot();
  await daemon().deleteGarbage();
  t.is(await world.sh(`ls -d ${[...made, blob].join(' ')} 2>/dev/null || true`), '');
  t.is(await total(), used);
  t.deepEqual(
    (await daemon().client.ListImages({})).images.map(({ id }) => id).sort(),
    images.map(({ id }) => id).sort(),
  );
  t.is((await container.exec('echo here')).stdout, 'here\n');
});

// ---- what reaches a file

const controls = ['\n', '\r', '\t', '\0', '\u001b', '\u007f'];

type PodField = readonly [string, (text: string) => Input<PodSandboxConfig>];
const podFields: readonly PodField[] = [
  ['hostname', (text) => ({ hostname: text })],
  ['metadata.name', (text) => ({ metadata: { name: text, uid: 'u', namespace: 'd' } })],
  ['metadata.uid', (text) => ({ metadata: { name: fresh('odd'), uid: text, namespace: 'd' } })],
  ['metadata.namespace', (text) => ({ metadata: { name: fresh('odd'), uid: 'u', namespace: text } })],
  ['log_directory', (text) => ({ log_directory: `/tmp/${text}` })],
  ['dns_config.servers', (text) => ({ dns_config: { servers: [`10.0.0.1${text}`] } })],
  ['dns_config.servers, its zone', (text) => ({ dns_config: { servers: [`fe80::1%eth0${text}`] } })],
  ['dns_config.searches', (text) => ({ dns_config: { searches: [text] } })],
  ['dns_config.options', (text) => ({ dns_config: { options: [text] } })],
  ['sysctl', (text) => ({ linux: { sysctls: { [`net.ipv4.${text}`]: '1' } } })],
  ['cgroup_parent', (text) => ({ linux: { cgroup_parent: `/${text}` } })],
];

for (const [field, config] of podFields)
  test(`cri-o 2022-4318, 2026-15809: a control byte in the pod’s ${field} is refused, and no pod is made`, async (t) => {
    for (const control of controls)
      await fails(
        t,
        daemon().client.RunPodSandbox({ config: podConfig(daemon(), config(`a${control}nameserver`)) }),
        'invalid-argument',
        new RegExp(field.replace(/,.*/, '').replace('dns_config.', '')),
      );
    t.deepEqual((await daemon().client.ListPodSandbox({})).items, []);
  });

type ContainerField = readonly [string, (text: string) => Input<ContainerConfig>];
const containerFields: readonly ContainerField[] = [
  ['metadata.name', (text) => ({ metadata: { name: text } })],
  ['log_path', (text) => ({ log_path: text })],
  ['working_dir', (text) => ({ working_dir: `/${text}` })],
  ['image', (text) => ({ image: { image: text } })],
  ['host_path', (text) => ({ mounts: [{ container_path: '/m', host_path: `/tmp/${text}` }] })],
  ['container_path', (text) => ({ mounts: [{ container_path: `/${text}`, host_path: '/tmp' }] })],
  ['device', (text) => ({ devices: [{ container_path: `/dev/${text}`, host_path: '/dev/null', permissions: 'r' }] })],
  ['masked_paths', (text) => ({ linux: { security_context: { masked_paths: [`/${text}`] } } })],
  ['readonly_paths', (text) => ({ linux: { security_context: { readonly_paths: [`/${text}`] } } })],
  ['run_as_username', (text) => ({ linux: { security_context: { run_as_username: text } } })],
  ['capability', (text) => ({ linux: { security_context: { capabilities: { add_capabilities: [text] } } } })],
  [
    'localhost_ref',
    (text) => ({
      linux: { security_context: { seccomp: { profile_type: 'Localhost', localhost_ref: `/tmp/${text}` } } },
    }),
  ],
];

test('cri-o 2022-4318, 2026-15809: a control byte in any text of a container that reaches a file is refused by CreateContainer', async (t) => {
  const pod = await runPod(daemon());
  for (const [field, config] of containerFields)
    for (const control of controls) {
      const request = { pod_sandbox_id: pod.id, sandbox_config: pod.config };
      const made = containerConfig('true', config(`a${control}root:x:0:0`));
      const error: unknown = await daemon()
        .client.CreateContainer({ ...request, config: made })
        .catch((reason: unknown) => reason);
      const what = `${field} ${JSON.stringify(control)}`;
      t.true(
        error instanceof BerthError && ['invalid-argument', 'not-found'].includes(error.code),
        `${what}: ${error}`,
      );
    }
  t.deepEqual((await daemon().client.ListContainers({})).containers, []);
});

test('cri-o 2022-4318, 2026-15809: a HOME with a newline stays one variable, and /etc/passwd, hosts and resolv.conf are as they were', async (t) => {
  const pod = await runPod(daemon());
  const evil = '/root\nevil::0:0::/:/bin/sh';
  const files = 'cat /etc/passwd /etc/group /etc/hosts /etc/hostname /etc/resolv.conf';
  const plain = await pod.run(idle);
  const container = await pod.run(idle, { envs: [{ key: 'HOME', value: Buffer.from(evil) }] });
  t.is((await container.exec('printf %s "$HOME"')).stdout, evil);
  t.is((await container.exec(files)).stdout, (await plain.exec(files)).stdout);
  t.notRegex((await container.exec(files)).stdout, /evil/);
});

test('cri-o 2022-4318, 2026-15809: control bytes in the image’s passwd, user and directory never become a line of a file', async (t) => {
  const passwd = 'root:x:0:0:root:/ro\rot:/bin/sh\nodd:x:7:7::/o\u001bdd:/bin/sh\n';
  const entries = [{ name: 'etc/passwd', data: passwd }];
  const pod = await runPod(daemon());
  const plain = await importEntries(daemon(), 'control-home', entries);
  const container = await pod.run(idle, {
    image: { image: plain },
  });
  t.is((await container.exec(['/bin/sh', '-c', 'echo "$HOME"'])).stdout, '/\n');
  for (const settings of [{ User: '0\nroot' }, { User: 'a\nroot:x:0:0' }, { WorkingDir: '/a\nb' }]) {
    const image = await importEntries(daemon(), fresh('control'), entries, settings);
    await t.throwsAsync(pod.create(idle, { image: { image } }), { code: 'invalid-argument' });
  }
});

// ---- what grants rights

const bundleOf = async (container: TestContainer): Promise<unknown> => {
  const text = await readFile(daemon().world.path('state/containers', container.id, 'config.json'), 'utf8');
  return JSON.parse(text.replaceAll(container.id, 'ID'));
};

const nasty: Readonly<Record<string, string>> = {
  'io.kubernetes.cri-o.userns-mode': 'auto',
  'io.kubernetes.cri-o.Devices': '/dev/sda',
  'io.kubernetes.cri-o.UnifiedCgroup.app': 'memory.high=1',
  'io.kubernetes.cri-o.seccompFD': '3',
  'io.kubernetes.cri.sandbox-id': 'other',
  'io.kubernetes.container.seccompProfile': 'unconfined',
  'container.apparmor.security.beta.kubernetes.io/app': 'unconfined',
  'container.seccomp.security.alpha.kubernetes.io/app': 'unconfined',
  'seccomp.security.alpha.kubernetes.io/pod': 'unconfined',
  'run.oci.handler': 'krun',
  'run.oci.keep_original_groups': '1',
  'run.oci.mount_context_type': 'rootcontext',
  'org.systemd.property.ExecStart': "['/bin/sh']",
  'org.opencontainers.runc.exec.isolated-cpu-affinity-transition': 'temporary',
  'cpu-load-balancing.crio.io': 'disable',
  'blockio.resources.beta.kubernetes.io/pod': 'high',
  'rdt.resources.beta.kubernetes.io/pod': 'high',
  'io.berth.privileged': 'true',
};

test('cri-o 2023-6476, 2024-3154, containerd 2026-53488: annotations and labels of pod, container and image change nothing of what is run', async (t) => {
  const metadata = { name: 'same', uid: 'same', namespace: 'default' };
  const specOf = async (image: string, words: Readonly<Record<string, string>>): Promise<unknown> => {
    const pod = await runPod(daemon(), { metadata, hostname: 'same', annotations: words, labels: words });
    const config = { metadata: { name: 'app' }, annotations: words, labels: words, image: { image } };
    const spec = await bundleOf(await pod.run(idle, config));
    const text = JSON.stringify(spec)
      .replaceAll(pod.id, 'POD')
      .replaceAll(image, 'IMAGE')
      .replaceAll(/"\/[^"]*\/netns\/[^"]*"/g, '"NETNS"');
    await pod.remove();
    return JSON.parse(text);
  };
  const plain = await specOf(names.busybox, {});
  t.deepEqual(await specOf(names.busybox, nasty), plain);
  const Labels = { ...nasty, 'io.kubernetes.pod.name': 'other' };
  const path = await importEntries(
    daemon(),
    'nasty-labels',
    [{ name: 'etc/passwd', data: 'root:x:0:0::/root:/bin/sh\n' }],
    {
      Labels,
      Cmd: ['sh'],
    },
  );
  t.deepEqual(withoutEnvironment(await specOf(path, {})), withoutEnvironment(plain));
});

/** The two images have other variables. */
const withoutEnvironment = (spec: unknown): unknown => {
  const { process, ...rest } = spec as { readonly process: { readonly env: unknown } };
  return { ...rest, process: { ...process, env: undefined } };
};

test('containerd 2026-53492, cri-o 2024-8676: CheckpointContainer is refused, and no file is made where it points', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const location = daemon().world.path('logs', 'checkpoint.tar');
  const call = daemon().client.CheckpointContainer({ container_id: container.id, location, timeout: 5n });
  await fails(t, call, 'unimplemented', /CheckpointContainer/);
  t.false((await readdir(daemon().world.path('logs'))).includes('checkpoint.tar'));
  t.is((await container.exec('echo alive')).stdout, 'alive\n');
});

test('containerd 2026-53492, cri-o 2024-8676: a checkpoint archive as an image grants nothing: it is files, and a path to one is no image', async (t) => {
  const { world } = daemon();
  const host = world.path('logs', 'host-secret');
  await writeFile(host, 'secret\n');
  const spec = {
    ociVersion: '1.0.0',
    process: { args: ['/bin/sh', '-c', 'id'], capabilities: { bounding: ['CAP_SYS_ADMIN'] }, user: { uid: 0, gid: 0 } },
    mounts: [{ destination: '/stolen', type: 'bind', source: host, options: ['rbind', 'rw'] }],
    linux: { devices: [{ path: '/dev/stolen', type: 'b', major: 8, minor: 0 }], namespaces: [] },
    annotations: { 'io.kubernetes.cri-o.Metadata': '{"name":"app"}', 'io.kubernetes.cri-o.Labels': '{}' },
  };
  const entries = [
    { name: 'spec.dump', data: JSON.stringify(spec) },
    { name: 'config.dump', data: '{"id":"a","name":"app","rootfsImageName":"x"}' },
    { name: 'checkpoint/', type: 'directory' },
    { name: 'checkpoint/inventory.img', data: 'x' },
    { name: 'bind.mounts', data: JSON.stringify({ '/stolen': host }) },
  ] as const;
  const words = {
    'io.kubernetes.cri-o.annotations.checkpoint.name': 'app',
    'org.criu.checkpoint.container.name': 'app',
    'org.criu.checkpoint.engine.name': 'CRI-O',
  };
  const image = await importEntries(daemon(), 'checkpoint', entries, { Labels: words }, words);
  const pod = await runPod(daemon());
  await fails(t, pod.create([], { image: { image } }), 'invalid-argument', /command/);
  const container = await pod.create(['/bin/sh', '-c', 'read -r x </stolen && echo "$x"; echo /dev/*; echo done'], {
    image: { image },
  });
  const made = JSON.stringify(await bundleOf(container));
  t.notRegex(made, /"\/(dev\/)?stolen"|SYS_ADMIN|host-secret/);
  await container.start();
  await container.exited();
  const lines = (await container.text('stdout')).trim().split('\n');
  t.is(lines.at(-1), 'done');
  t.notRegex(lines.join(), /secret|stolen/);
  for (const file of [host, `${world.path('logs-layout-checkpoint')}`])
    await t.throwsAsync(pod.create('true', { image: { image: file } }), { message: /image|reference/ });
});

// ---- who may speak to a supervisor

test('containerd 2020-15257: a supervisor does not answer to who is not root, whatever the modes on the way to its socket', async (t) => {
  const { world } = daemon();
  const container = await (await runPod(daemon())).run(idle);
  const bundle = world.path('state/containers', container.id);
  const script = `const s = require('net').connect('shim.sock'); s.setTimeout(30000, () => s.destroy()); let n = 0;
    s.on('data', (d) => { n += d.length; s.destroy(); }); 
    let how = 'refused'; s.on('connect', () => { how = 'connected'; s.write(Buffer.alloc(64)); }); s.on('error', () => {});
    s.on('close', () => console.log(how + ' ' + n));`;
  const speak = async (uid: number): Promise<string> => {
    const enter = `cd ${bundle} && exec setpriv --reuid=${uid} --regid=${uid} --clear-groups ${process.execPath} -e "${script}"`;
    return (await world.sh(enter)).trim();
  };
  const directories = ['', 'state', 'state/containers'].map((name) => world.path(name)).join(' ');
  const modes = (await world.sh(`stat -c %a ${directories} ${bundle} ${bundle}/shim.sock`)).trim().split('\n');
  await world.sh(`chmod 755 ${directories} ${bundle}; chmod 666 ${bundle}/shim.sock`);
  const [stranger, root] = [await speak(1000), await speak(0)];
  const paths = [...directories.split(' '), bundle, `${bundle}/shim.sock`];
  for (const [i, path] of paths.entries()) await world.sh(`chmod ${modes[i]} ${path}`);
  t.is(stranger, 'connected 0');
  t.regex(root, /^connected [1-9]/);
});
