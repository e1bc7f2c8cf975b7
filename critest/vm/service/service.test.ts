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

/** Files, directories, cgroups and mounts with our name; the machine has some of its own. */
const traces = async (): Promise<readonly string[]> => {
  const files = `find / -xdev -path /berth -prune -o -iname '*berth*' -print; find /run /sys/fs/cgroup -iname '*berth*'`;
  const cgroups = 'find /sys/fs/cgroup -type d -name "kubepods*"';
  return (await sh(`${files}; ${cgroups}; grep -i berth /proc/self/mountinfo; ls /run/netns || true`)).split('\n');
};

let before: readonly string[] = [];

test.before(async () => {
  before = await traces();
  await startJournal();
  await mkdir('/var/log/pods', { recursive: true }); // kubelet's
});

test.serial('berth install shows its files and does nothing, with --now the service runs', async (t) => {
  const dry = await sh(`${berth} install`);
  t.regex(dry, /^\+ \/usr\/local\/lib\/systemd\/system\/berth\.service$/m);
  t.regex(dry, /^> systemctl start berth\.socket berth\.service berth-pods\.service$/m);
  t.is((await tried('ls /usr/local/lib/berth')).status, 2);
  await sh(`${berth} install --now --without kubelet`);
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

test.serial('installed again nothing changes and the daemon stays', async (t) => {
  const before = await mainPid();
  t.notRegex(await sh('/usr/local/bin/berth install --now --without kubelet'), /^[+~!x-] /m);
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
  t.deepEqual(failures, []);
});

test.serial(
  'berth install over another version puts the new programs and restarts the daemon; pods run on, calls wait',
  (t) =>
    outliving(t, async () => {
      await appendFile('/usr/local/lib/berth/build/bin/berthd.js', '// another version\n');
      const said = sh(`${berth} install --now --without kubelet`);
      const call = client.Version({});
      t.regex(await said, /^~ \/usr\/local\/lib\/berth\/ {2}\(1 files\)$[\s\S]*^> systemctl restart berth\.service$/m);
      t.is((await call).runtime_name, 'berth');
    }),
);

test.serial('a call to a service that was stopped starts it', async (t) => {
  await sh('systemctl stop berth');
  t.is(await property('ActiveState'), 'inactive');
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
  await writeFile(`${dropIn}/watchdog.conf`, '[Service]\nWatchdogSec=4\n');
  await sh('systemctl daemon-reload && systemctl restart berth');
  const fed = await mainPid();
  await sleep(7000);
  t.is(await mainPid(), fed, 'a daemon that serves is left alone');
  await outliving(t, (pid) => sh(`kill -STOP ${pid}`));
  t.is(await property('NRestarts'), '1');
  t.regex(await sh('dmesg'), /berth\.service: Watchdog timeout/);
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
    t.regex(await sh('journalctl -u berth.service --no-pager -o cat -p err'), /not reloaded.*no_such_key/);
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

test.serial('berth uninstall is refused while pods run', async (t) => {
  const { status, text } = await tried('/usr/local/bin/berth uninstall --now');
  t.is(status, 1);
  t.regex(
    text,
    /3 pods run: default\/p\d, default\/p\d, default\/p\d\. Drain the node first, or end them with --force/,
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
  t.is((await tried('pgrep -l "^berth(d|-agent|-shim|-init)"')).text, '');
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
});
