import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Client } from '../../../api/client.ts';
import { messageOf } from '../../../base/errors.ts';
import { until } from '../../harness/until.ts';
import {
  berth,
  cgroupOf,
  idle,
  importBusybox,
  type Pod,
  pidOf,
  property,
  runPod,
  service,
  sh,
  startJournal,
  tried,
} from './machine.ts';

// One service for all of them, in this order.
let client: Client;
let pods: readonly Pod[] = [];

const mainPid = (): Promise<string> => property('MainPID');
const startOf = async (pid: number): Promise<string> =>
  (await readFile(`/proc/${pid}/stat`, 'utf8')).split(' ')[21] ?? '';

/** The pods' processes, by pid and the time of their start. */
const alive = (): Promise<readonly string[]> =>
  Promise.all(pods.map(async ({ pid }) => `${pid} ${await startOf(pid).catch(() => 'gone')}`));

/** No unit has failed, nothing waits, and each container of systemd's driver has its scope. */
const content = async (t: ExecutionContext): Promise<void> => {
  t.is(await sh('systemctl list-units --failed --plain --no-legend'), '', 'no unit has failed');
  t.is(await sh('systemctl list-jobs --plain --no-legend | grep berth- | grep -v berth-job || true'), '');
  for (const { container, pid } of pods)
    if ((await cgroupOf(pid)).endsWith('.scope'))
      t.is(await property('ActiveState', `berth-${container}.scope`), 'active');
  t.is(await property('ActiveState'), 'active');
};

/** Another main process that has said READY. */
const restarted = (before: string): Promise<unknown> =>
  until(
    'berthd is another one and ready',
    async () => (await mainPid()) !== before && (await property('SubState')) === 'running',
    60,
  );

/** Does something to the daemon that ends it; the pods must not notice. */
const outliving = async (t: ExecutionContext, action: (pid: string) => Promise<unknown>): Promise<void> => {
  const before = await mainPid();
  const running = await alive();
  await action(before);
  await restarted(before);
  t.deepEqual(await alive(), running);
  const { containers } = await client.ListContainers({ filter: { state: { state: 'CONTAINER_RUNNING' } } });
  t.deepEqual(containers.map(({ id }) => id).sort(), pods.map(({ container }) => container).sort());
  await content(t);
};

/** Milliseconds, by the daemon's own log. */
const slowestRecovery = async (): Promise<number> => {
  const text = await sh('journalctl -u berth.service -o cat --no-pager | grep \'"msg":"recovered"\'');
  return Math.max(...text.split('\n').map((line) => (JSON.parse(line) as { milliseconds: number }).milliseconds));
};

/** A stand-in for kubelet, with the unit and the drop-in that kubeadm's packages have: it notes its arguments, and asks its endpoint. */
const placeKubelet = async (): Promise<void> => {
  const units = '/usr/lib/systemd/system';
  await mkdir(`${units}/kubelet.service.d`, { recursive: true });
  await mkdir('/var/lib/kubelet', { recursive: true });
  const program = `#!/bin/sh
printf '%s\\n' "$@" >/run/kubelet-args
for word; do case $word in --container-runtime-endpoint=*) endpoint=\${word#*=} ;; esac; done
/usr/local/bin/berth --address "$endpoint" info >/run/kubelet-answer 2>&1 && echo reached >>/run/kubelet-answer
exit 0
`;
  await writeFile('/usr/bin/kubelet', program, { mode: 0o755 });
  await writeFile(`${units}/kubelet.service`, '[Service]\nType=oneshot\nExecStart=/usr/bin/kubelet\n');
  const kubeadm = [
    '[Service]',
    'Environment="KUBELET_KUBECONFIG_ARGS=--kubeconfig=/etc/kubernetes/kubelet.conf"',
    'Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"',
    'EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env',
    'EnvironmentFile=-/etc/default/kubelet',
    'ExecStart=',
    'ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS',
  ];
  await writeFile(`${units}/kubelet.service.d/10-kubeadm.conf`, `${kubeadm.join('\n')}\n`);
  const flags = 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/containerd/containerd.sock"\n';
  await writeFile('/var/lib/kubelet/kubeadm-flags.env', flags);
  await writeFile('/etc/default/kubelet', 'KUBELET_EXTRA_ARGS=--node-ip=192.0.2.1\n');
};

const startKubelet = async (): Promise<{ readonly args: readonly string[]; readonly answer: string }> => {
  await sh('rm -f /run/kubelet-*; systemctl restart kubelet');
  const args = (await readFile('/run/kubelet-args', 'utf8')).trim().split('\n');
  return { args, answer: await readFile('/run/kubelet-answer', 'utf8') };
};

/** A network whose DEL waits until a file is there. */
const placeSlowPlugin = async (directory: string): Promise<void> => {
  await mkdir(directory, { recursive: true });
  const program = `#!/bin/sh
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.7/24"}]}' ;;
DEL) while [ ! -e ${directory}/go ]; do sleep 0.1; done ;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}' ;;
esac
`;
  await writeFile(`${directory}/slow`, program, { mode: 0o755 });
  await mkdir('/etc/cni/net.d', { recursive: true });
  const conflist = { cniVersion: '1.0.0', name: 'slow', plugins: [{ type: 'slow' }] };
  await writeFile('/etc/cni/net.d/10-slow.conflist', JSON.stringify(conflist));
  await mkdir('/etc/berth', { recursive: true });
  await writeFile('/etc/berth/config.toml', `[network]\nbin_dirs = ["${directory}"]\n`);
};

/** Files, directories, cgroups and mounts with our name; the machine has some of its own. */
const traces = async (): Promise<readonly string[]> => {
  const files = `find / -xdev -path /berth -prune -o -iname '*berth*' -print; find /run /sys/fs/cgroup -iname '*berth*'`;
  const cgroups = 'find /sys/fs/cgroup -type d -name "kubepods*"';
  return (await sh(`${files}; ${cgroups}; grep -i berth /proc/self/mountinfo; ls /run/netns || true`)).split('\n');
};

let before: readonly string[] = [];
/** User-mode Linux has none, and so no network for pods by default. */
let hasNat = false;

test.before(async () => {
  hasNat = (await tried('modprobe --quiet nft_chain_nat')).status === 0;
  before = await traces();
  await placeKubelet();
  await startJournal();
  await mkdir('/var/log/pods', { recursive: true }); // kubelet's
});

test.serial('berth install shows its files and does nothing, with --now the service runs', async (t) => {
  const dry = await sh(`${berth} install`);
  t.regex(dry, /^\+ \/usr\/local\/lib\/systemd\/system\/berth\.service$/m);
  t.regex(dry, /^> systemctl start berth\.socket berth\.service berth-pods\.service$/m);
  t.is((await tried('ls /usr/local/lib/berth')).status, 2);
  await sh(`${berth} install --now`);
  client = service();
  t.is((await client.Version({})).runtime_name, 'berth');
  await content(t);
  for (const unit of ['berth.service', 'berth.socket', 'berth-pods.service'])
    t.deepEqual(await tried(`systemctl is-active ${unit}; systemctl is-enabled ${unit}`), {
      status: 0,
      text: 'active\nenabled',
    });
  const { mode, uid } = await stat('/run/berth/berth.sock');
  t.deepEqual([mode & 0o777, uid], [0o600, 0]);
});

test.serial(
  'kubelet, as kubeadm sets it up, is started with Berth’s endpoint behind its own flags, after Berth',
  async (t) => {
    const said = await startKubelet();
    t.deepEqual(said.args, [
      '--kubeconfig=/etc/kubernetes/kubelet.conf',
      '--config=/var/lib/kubelet/config.yaml',
      '--container-runtime-endpoint=unix:///run/containerd/containerd.sock',
      '--node-ip=192.0.2.1',
      '--container-runtime-endpoint=unix:///run/berth/berth.sock',
      '--feature-gates=PodAndContainerStatsFromCRI=true',
      '--runtime-cgroups=/system.slice/berth.service',
    ]);
    t.regex(said.answer, /^reached$/m);
    for (const name of ['After', 'Wants'])
      t.true((await property(name, 'kubelet.service')).split(' ').includes('berth.service'), name);
  },
);

test.serial('installed again nothing changes and the daemon stays', async (t) => {
  const before = await mainPid();
  t.notRegex(await sh('/usr/local/bin/berth install --now'), /^[+~!x-] /m);
  t.is(await mainPid(), before);
});

test.serial('systemd finds nothing wrong with the units', async (t) => {
  const units = ['berth.service', 'berth.socket', 'berth-group.socket', 'berth-pods.service'];
  t.deepEqual(await tried(`systemd-analyze verify --man=no ${units.join(' ')}`), { status: 0, text: '' });
});

test.serial('daemon and agent live in one part of the service, supervisors in the other', async (t) => {
  t.is(await cgroupOf(Number(await mainPid())), '/system.slice/berth.service/daemon');
  t.is(await cgroupOf(Number(await sh('pgrep -x berth-agent'))), '/system.slice/berth.service/daemon');
  t.is(await readFile(`/proc/${await mainPid()}/oom_score_adj`, 'utf8'), '-999\n');
});

test.serial('pods run in the kubepods slices that kubelet names, by the systemd driver that is found', async (t) => {
  await importBusybox(client);
  pods = [];
  for (const [index, qos] of ['burstable', 'besteffort'].entries()) {
    const slice = `kubepods-${qos}-pod${index}.slice`;
    const pod = await runPod(client, { parent: slice, script: idle });
    t.is(await cgroupOf(pod.pid), `/kubepods.slice/kubepods-${qos}.slice/${slice}/berth-${pod.container}.scope`);
    pods = [...pods, pod];
  }
  const supervisors = (await sh('pgrep -x berth-shim')).split('\n').map(Number);
  t.is(supervisors.length, 2);
  for (const pid of supervisors) t.is(await cgroupOf(pid), '/system.slice/berth.service/supervisors');
});

test.serial(
  'pods run in the kubepods directories that kubelet names, by the cgroupfs driver; scopes run on beside them',
  async (t) => {
    await mkdir('/etc/berth', { recursive: true });
    await writeFile('/etc/berth/config.toml', '[cgroup]\ndriver = "cgroupfs"\n');
    await outliving(t, () => sh('systemctl restart berth'));
    const parent = '/kubepods/burstable/pod3';
    const pod = await runPod(client, { parent, script: idle });
    t.is(await cgroupOf(pod.pid), `${parent}/${pod.container}`);
    pods = [...pods, pod];
    await rm('/etc/berth', { recursive: true });
    await outliving(t, () => sh('systemctl restart berth'));
  },
);

test.serial('systemctl restart berth leaves the pods of both drivers running, and systemd content', (t) =>
  outliving(t, () => sh('systemctl restart berth')),
);

test.serial('kill -9 of the daemon leaves the pods of both drivers running, and systemd content', (t) =>
  outliving(t, (pid) => sh(`kill -KILL ${pid}`)),
);

test.serial('kill -9 of the agent leaves daemon and pods running', async (t) => {
  const [before, running] = [await mainPid(), await alive()];
  await sh(`kill -KILL $(pgrep -x berth-agent)`);
  const cmd = ['true'];
  await client.ExecSync({ container_id: pods[0]?.container ?? '', cmd, timeout: 20 });
  t.is(await mainPid(), before);
  t.deepEqual(await alive(), running);
  await content(t);
});

test.serial('calls wait while the daemon is restarted', async (t) => {
  const stop = new AbortController();
  const failures: string[] = [];
  let calls = 0;
  const calling = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      calls += 1;
      await client.ListContainers({}).catch((error: unknown) => failures.push(messageOf(error)));
    }
  };
  const loops = [calling(), calling()];
  await sh('systemctl restart berth');
  await sh('systemctl restart berth');
  stop.abort();
  await Promise.all(loops);
  t.true(calls > 2);
  // They wait five seconds for a recovery; the emulated PC needs more, and its callers are told.
  const patient = (await slowestRecovery()) < 4000;
  t.deepEqual(
    failures.filter((text) => patient || text !== 'berthd is starting'),
    [],
  );
});

test.serial(
  'berth install over another version puts the new programs and restarts the daemon; pods run on, calls wait',
  (t) =>
    outliving(t, async () => {
      await appendFile('/usr/local/lib/berth/build/bin/berthd.js', '// another version\n');
      const said = sh(`${berth} install --now`);
      const call = client.Version({});
      t.regex(await said, /^~ \/usr\/local\/lib\/berth\/ {2}\(1 files\)$[\s\S]*^> systemctl restart berth\.service$/m);
      t.is((await call).runtime_name, 'berth');
    }),
);

test.serial('a call to a service that was stopped starts it', async (t) => {
  await sh('systemctl stop berth');
  t.is(await property('ActiveState'), 'inactive');
  const byHand = await tried('/usr/local/bin/berthd');
  t.is(byHand.status, 1);
  t.regex(byHand.text, /systemd listens there/);
  t.is(await property('ActiveState'), 'inactive', 'a berthd by hand starts nothing');
  t.is((await client.Version({})).runtime_name, 'berth');
  await until('berth.service is up', async () => (await property('ActiveState')) === 'active');
});

test.serial('systemd is told how many pods and containers there are', async (t) => {
  await until('the status is told', async () => (await property('StatusText')) === '3 pods, 3 containers');
  t.pass();
});

test.serial('the journal has the log as JSON, with its priorities', async (t) => {
  const text = await sh('journalctl -u berth.service -o json --output-fields=PRIORITY,MESSAGE,_COMM --no-pager');
  const lines = text
    .split('\n')
    .map((line) => JSON.parse(line) as { PRIORITY: string; MESSAGE: string; _COMM?: string });
  const ours = lines.filter(({ MESSAGE }) => MESSAGE.startsWith('{'));
  t.true(ours.length > 5);
  const priorities: Readonly<Record<number, string>> = { 20: '7', 30: '6', 40: '4', 50: '3' };
  for (const { PRIORITY, MESSAGE } of ours)
    t.is(PRIORITY, priorities[(JSON.parse(MESSAGE) as { level: number }).level] ?? '', MESSAGE);
  t.true(ours.some(({ PRIORITY }) => PRIORITY === '6'));
  t.true(
    ours.some(({ PRIORITY }) => Number(PRIORITY) <= 4),
    'a warning or an error',
  );
});

test.serial('the watchdog ends and restarts a daemon that was stopped with SIGSTOP, and pods run on', async (t) => {
  const dropIn = '/run/systemd/system/berth.service.d';
  await mkdir(dropIn, { recursive: true });
  await writeFile(`${dropIn}/watchdog.conf`, '[Service]\nWatchdogSec=8\n');
  await sh('systemctl daemon-reload && systemctl restart berth');
  const fed = await mainPid();
  await sleep(11_000);
  t.is(await mainPid(), fed, 'a daemon that serves is left alone');
  await outliving(t, (pid) => sh(`kill -STOP ${pid}`));
  t.is(await property('NRestarts'), '1');
  t.regex(await sh('dmesg'), /berth\.service: Watchdog timeout/);
  // without WatchdogSignal it is SIGABRT, on which systemd lets the process go on
  t.regex(await sh('dmesg'), /berth\.service: Killing process \d+ \(\S+\) with signal SIGKILL/);
  await rm(dropIn, { recursive: true });
  await sh('systemctl daemon-reload && systemctl restart berth');
});

test.serial(
  'systemctl reload with a wrong file fails in words and changes nothing, with a right one it takes it',
  async (t) => {
    const before = [await mainPid(), ...(await alive())];
    const level = async (): Promise<string> => {
      const { info } = await client.Status({ verbose: true });
      return (JSON.parse(info.config ?? '{}') as { log_level: string }).log_level;
    };
    await mkdir('/etc/berth', { recursive: true });
    await writeFile('/etc/berth/config.toml', 'log_level = "debug"\nno_such_key = 1\n');
    t.not((await tried('systemctl reload berth')).status, 0);
    t.is(await level(), 'info');
    const errors = (): Promise<string> => sh('journalctl -u berth.service --no-pager -o cat -p err');
    await until('the journal has why', async () => /not reloaded.*no_such_key/.test(await errors()));
    await content(t);
    await writeFile('/etc/berth/config.toml', 'log_level = "debug"\n');
    await sh('systemctl reload berth');
    t.is(await level(), 'debug');
    await rm('/etc/berth', { recursive: true });
    await sh('systemctl reload berth');
    t.deepEqual([await mainPid(), ...(await alive())], before);
    await content(t);
  },
);

test.serial('members of the group berth reach its socket when that is enabled, and others do not', async (t) => {
  await sh('systemctl stop berth && systemctl enable --quiet berth-group.socket');
  await sh('systemctl start berth-group.socket berth.service');
  const { mode, gid } = await stat('/run/berth.sock');
  t.is(mode & 0o777, 0o660);
  t.is(`${gid}`, (await sh('getent group berth')).split(':')[2] ?? '');
  const ask = (groups: string): Promise<{ status: number }> =>
    tried(`setpriv --reuid 1234 --regid 1234 ${groups} /usr/local/bin/berth --address unix:///run/berth.sock ps`);
  t.is((await ask('--groups berth')).status, 0);
  t.is((await ask('--clear-groups')).status, 1);
});

test.serial('a stop of the unit that ends pods at a shutdown ends none before', async (t) => {
  const running = await alive();
  await sh('systemctl restart berth-pods.service');
  t.deepEqual(await alive(), running);
});

test.serial(
  'a start that takes longer than TimeoutStartSec tells its recovery, and gets the time that it needs',
  async (t) => {
    const slow = '/opt/slow';
    await placeSlowPlugin(slow);
    await sh('systemctl restart berth');
    const usec = async (name: string): Promise<number> => Number(await property(name));
    const start = (await usec('ActiveEnterTimestampMonotonic')) - (await usec('ExecMainStartTimestampMonotonic'));
    const limit = Math.ceil((2 * start) / 1e6) + 3;
    const config = { metadata: { name: 'slow', uid: 'slow', namespace: 'default', attempt: 0 } };
    const { pod_sandbox_id: pod } = await client.RunPodSandbox({ config: { ...config, log_directory: '/tmp/slow' } });
    const dropIn = '/run/systemd/system/berth.service.d';
    await mkdir(dropIn, { recursive: true });
    await writeFile(`${dropIn}/start.conf`, `[Service]\nTimeoutStartSec=${limit}\n`);
    // Its network namespace is gone when the daemon comes back: DEL is asked, and waits.
    await sh('systemctl daemon-reload; systemctl stop berth; for n in /run/netns/*; do umount $n; rm $n; done');
    await sh('systemctl start --no-block berth');
    const running = await alive();
    await until('it tells of the recovery', async () => /^recovering 0\/\d+$/.test(await property('StatusText')), 60);
    const main = await mainPid();
    await sleep((limit + 2) * 1000);
    t.deepEqual([await property('ActiveState'), await mainPid()], ['activating', main], `${limit} s are over`);
    await writeFile(`${slow}/go`, '');
    await until('berth.service is up', async () => (await property('ActiveState')) === 'active', 30);
    t.deepEqual([await mainPid(), await property('NRestarts')], [main, '0']);
    t.deepEqual(await alive(), running);
    await client.RemovePodSandbox({ pod_sandbox_id: pod });
    for (const path of [slow, dropIn, '/etc/berth', '/etc/cni/net.d/10-slow.conflist'])
      await rm(path, { recursive: true });
    await sh('systemctl daemon-reload; systemctl restart berth');
  },
);

test.serial('berth uninstall is refused when no daemon says what runs, wherever its state is', async (t) => {
  await sh('systemctl stop berth.socket berth.service');
  await mkdir('/etc/berth', { recursive: true });
  await writeFile('/etc/berth/config.toml', 'state = "/run/elsewhere"\n');
  const { status, text } = await tried('/usr/local/bin/berth uninstall --now');
  t.is(status, 1);
  t.regex(text, /^- \/run\/elsewhere\/$/m);
  t.regex(text, /berthd does not answer .* 0 pods and containers, and 3 supervisors run/);
  await rm('/etc/berth', { recursive: true });
  await sh('systemctl start berth.socket berth.service');
  await content(t);
});

test.serial('a pod on the default network has its bridge, which somebody else may use as well', async (t) => {
  if (!hasNat) return void t.is((await tried('modprobe --quiet nft_chain_nat')).status, 1);
  const network = await runPod(client, { parent: 'kubepods-podn.slice', script: idle, network: 'POD' });
  pods = [...pods, network];
  t.regex(await sh('ip -o link show master berth0'), /veth/);
  await sh('ip link add foreign type dummy && ip link set foreign master berth0 up');
});

test.serial('berth uninstall is refused while pods run', async (t) => {
  const { status, text } = await tried('/usr/local/bin/berth uninstall --now');
  t.is(status, 1);
  t.regex(
    text,
    new RegExp(
      `${pods.length} pods run: (default/p\\d(, )?){${pods.length}}\\. Drain the node first, or end them with --force`,
    ),
  );
  t.is(await pidOf(client, pods[0]?.container ?? ''), pods[0]?.pid ?? 0);
  await content(t);
});

test.serial('berth uninstall --force leaves nothing of the service, its pods and its files', async (t) => {
  const kept = '/etc/berth/config.toml';
  await mkdir('/etc/berth', { recursive: true });
  await appendFile(kept, '# mine\n');
  const said = await sh('/usr/local/bin/berth uninstall --now --force');
  t.regex(said, /! \/etc\/berth {2}\(yours: left as it is\)/);
  client.close();
  // Debian 12's pgrep speaks of a pattern that is longer; berth-job is the machine's own.
  t.is((await tried('pgrep -l "^berth(d|-[^j])"')).text, '');
  t.is(
    await sh(
      'systemctl list-units --all --plain --no-legend "berth*.service" "berth*.socket" | grep -v berth-job || true',
    ),
    '',
  );
  t.is(await sh('systemctl list-units --failed --plain --no-legend'), '');
  const left = (await traces()).filter((line) => !before.includes(line));
  t.deepEqual(left, ['/etc/berth']);
  t.deepEqual(await readdir('/etc/berth'), ['config.toml']);
  t.is((await tried('getent group berth')).status, 2);
  t.is((await startKubelet()).args.filter((arg) => arg.includes('berth')).length, 0, 'kubelet is its own again');
  if (!hasNat) return;
  t.is((await tried('ip link show berth0')).status, 1);
  t.regex(await sh('ip -o link show foreign'), /state UP|UNKNOWN/);
  t.notRegex(await sh('ip -o link show foreign; nft list ruleset'), /berth/);
});
