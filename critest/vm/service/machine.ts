import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { defaultAddress } from '../../../api/address.ts';
import { type Client, connect } from '../../../api/client.ts';
import { names, testImages } from '../../harness/images.ts';
import { sourceTree } from '../../harness/tree.ts';

const run = promisify(execFile);

/** A shell script's output; an error with all that it said when its status is not 0. */
export const sh = async (script: string): Promise<string> => {
  const { stdout } = await run('sh', ['-c', script], { maxBuffer: 16 << 20 }).catch(
    (error: Error & { stdout?: string }) => {
      throw new Error(`${script}: ${error.message}\n${error.stdout ?? ''}`);
    },
  );
  return stdout.trim();
};

/** Output and status, whatever that is. */
export const tried = async (script: string): Promise<{ readonly status: number; readonly text: string }> => {
  const text = await sh(`(${script}) 2>&1; echo "status $?"`);
  const [, said = '', status = ''] = /^([\s\S]*?)\n?status (\d+)$/.exec(text) ?? [];
  return { status: Number(status), text: said };
};

export const berth = join(sourceTree, 'bin/berth');

/** The machine has no journal of its own: tests of others write none. */
export const startJournal = async (): Promise<void> => {
  const units = ['systemd-journald.service', 'systemd-journald.socket', 'systemd-journald-dev-log.socket'];
  for (const unit of units) await rm(`/etc/systemd/system/${unit}`, { force: true });
  await sh(
    `systemctl daemon-reload && systemctl start systemd-journald.socket systemd-journald-dev-log.socket ${units[0]}`,
  );
};

/** One property of a unit. */
export const property = (name: string, unit = 'berth.service'): Promise<string> =>
  sh(`systemctl show --value -p ${name} ${unit}`);

export const service = (): Client => connect(defaultAddress, { timeoutMs: 60_000 });

export const importBusybox = async (client: Client): Promise<void> => {
  await client.Import({ path: join(await testImages(), 'layout'), name: names.busybox });
};

let serial = 0;

export interface Pod {
  readonly pod: string;
  readonly container: string;
  readonly pid: number;
}

export interface PodWish {
  readonly parent: string;
  readonly script: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly logs?: string;
  /** The host's unless it is told. */
  readonly network?: 'NODE' | 'POD';
}

/** As kubelet has it made: a pod, and one container in it, which runs. */
export const runPod = async (
  client: Client,
  { parent, script, annotations = {}, logs, network = 'NODE' }: PodWish,
): Promise<Pod> => {
  serial += 1;
  const name = `p${serial}`;
  const config = {
    metadata: { name, uid: `uid-${name}`, namespace: 'default', attempt: 0 },
    log_directory: logs ?? `/var/log/pods/${name}`,
    linux: { cgroup_parent: parent, security_context: { namespace_options: { network, pid: 'CONTAINER' } } },
  } as const;
  const { pod_sandbox_id: pod } = await client.RunPodSandbox({ config });
  const { container_id: container } = await client.CreateContainer({
    pod_sandbox_id: pod,
    sandbox_config: config,
    config: {
      metadata: { name: 'c', attempt: 0 },
      image: { image: names.busybox },
      command: ['sh', '-c', script],
      log_path: `${name}.log`,
      annotations,
    },
  });
  await client.StartContainer({ container_id: container });
  return { pod, container, pid: await pidOf(client, container) };
};

export const pidOf = async (client: Client, container: string): Promise<number> => {
  const { info } = await client.ContainerStatus({ container_id: container, verbose: true });
  return (JSON.parse(info.info ?? '{}') as { pid: number }).pid;
};

/** Where a process is on cgroup v2: "/kubepods/…". */
export const cgroupOf = async (pid: number): Promise<string> =>
  (await readFile(`/proc/${pid}/cgroup`, 'utf8')).trim().replace(/^0::/, '');

/** Runs until it gets SIGTERM. */
export const idle = 'trap "exit 0" TERM; sleep 86400 & wait';
