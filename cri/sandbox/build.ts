import { readFile } from 'node:fs/promises';
import { BerthError, messageOf } from '../../base/errors.ts';
import { makeDirectory, makeLastDirectory, removeTree, writeVolatile } from '../../base/files.ts';
import type { Rollback } from '../../base/rollback.ts';
import { makeNamespaces, removeNamespaces } from '../../shim/sandbox.ts';
import { type Runtime, sandboxPaths } from '../runtime.ts';
import { hostsFile } from '../spec/dns.ts';
import type { SandboxSpec } from '../spec/sandbox.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { endMaker } from './end-maker.ts';
import { networkSandbox } from './network.ts';

/** Everything of a sandbox but its record: directory, namespaces, network, files. Answers with its addresses. */
export const buildSandbox = async (
  runtime: Runtime,
  sandbox: Sandbox,
  spec: SandboxSpec,
  rollback: Rollback,
): Promise<readonly string[]> => {
  const { directory, makeLock: lock } = sandboxPaths(runtime.config, sandbox.id);
  rollback.add('directory', () => removeTree(directory));
  await makeDirectory(directory);
  const pins = namespacePins(runtime, sandbox, spec);
  rollback.add('namespaces', () => removeNamespaces(runtime.agent, pins));
  rollback.add('maker of namespaces', () => endMaker(runtime, sandbox));
  await Promise.all([
    makeNamespaces(runtime.agent, {
      ...pins,
      hostname: spec.hostname,
      sysctls: sysctlsOf(spec),
      cgroupProcs: runtime.supervisorsCgroup,
      lock,
    }),
    writeNames(runtime, sandbox, spec),
    spec.logDirectory === undefined ? undefined : makeLogDirectory(spec.logDirectory),
  ]);
  const ips = await connect(runtime, sandbox, rollback);
  await writeHosts(runtime, sandbox, spec, ips);
  return ips;
};

/** kubelet makes it; for others its last part is made, never a whole path that may be a mistake. */
const makeLogDirectory = (path: string): Promise<void> =>
  makeLastDirectory(path, 0o755).catch((error: unknown) => {
    throw new BerthError('failed-precondition', `log_directory ${path}: ${messageOf(error)}: make its parent first`);
  });

/** Where each namespace of the pod is pinned; missing where it is the host's. */
export const namespacePins = (runtime: Runtime, sandbox: Sandbox, spec: SandboxSpec) => {
  const { user, ipc, uts, shm, pid } = sandboxPaths(runtime.config, sandbox.id);
  const { namespaces } = spec;
  return {
    ...(namespaces.user === undefined ? {} : { user: { path: user, ...namespaces.user } }),
    ...(namespaces.network === 'pod' ? { net: sandbox.record.netns } : {}),
    ...(namespaces.uts === 'pod' ? { uts } : {}),
    ...(namespaces.ipc === 'pod' ? { ipc, shm: { path: shm, size: shmBytes } } : {}),
    ...(namespaces.pid === 'pod' ? { pid } : {}),
  };
};

/** As Docker and containerd have it. */
const shmBytes = 64 << 20;

/**
 * A pod may bind low ports and ping without capabilities, as containerd's default is; the request's own go first. A user
 * namespace does not have all the groups.
 */
const sysctlsOf = ({ namespaces, sysctls }: SandboxSpec): Readonly<Record<string, string>> => ({
  ...(namespaces.network === 'pod' ? { 'net.ipv4.ip_unprivileged_port_start': '0' } : {}),
  ...(namespaces.network === 'pod' && !namespaces.user ? { 'net.ipv4.ping_group_range': '0 2147483647' } : {}),
  ...sysctls,
});

const connect = async (runtime: Runtime, sandbox: Sandbox, rollback: Rollback): Promise<readonly string[]> => {
  if (sandbox.record.netns === '') return [];
  const network = networkSandbox(runtime, sandbox);
  rollback.add('network', () => runtime.network.teardown(network));
  const result = await runtime.network.setup(network, new AbortController().signal);
  return result.podIPs;
};

/** Containers may run as any user, so what is mounted into them is readable by all. */
const readable = 0o644;

const writeNames = async (runtime: Runtime, sandbox: Sandbox, spec: SandboxSpec): Promise<void> => {
  const { hostname, resolvConf } = sandboxPaths(runtime.config, sandbox.id);
  await writeVolatile(hostname, `${spec.hostname}\n`, readable);
  await writeVolatile(resolvConf, spec.resolvConf ?? (await readFile('/etc/resolv.conf')), readable);
};

const writeHosts = async (
  runtime: Runtime,
  sandbox: Sandbox,
  spec: SandboxSpec,
  ips: readonly string[],
): Promise<void> => {
  const text = spec.namespaces.network === 'node' ? await readFile('/etc/hosts') : hostsFile(spec.hostname, ips);
  await writeVolatile(sandboxPaths(runtime.config, sandbox.id).hosts, text, readable);
};
