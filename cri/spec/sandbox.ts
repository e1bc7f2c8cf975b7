import { BerthError, invalid, within } from '../../base/errors.ts';
import type { SelinuxHost } from '../security/selinux.ts';
import { resolvConf } from './dns.ts';
import { logDirectory } from './log-path.ts';
import { validateAttempt, validateMap, validateName } from './names.ts';
import { type SandboxNamespaces, sandboxNamespaces } from './namespaces.ts';
import { containerResources, oomScoreAdj } from './resources.ts';
import { checkSelinux } from './security.ts';
import { validateSysctls } from './sysctls.ts';
import type { LinuxResources, PodSandboxConfig } from './types.ts';

/** A PodSandboxConfig after all checks. */
export interface SandboxSpec {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace: string;
    readonly attempt: number;
  };
  readonly hostname: string;
  readonly logDirectory: string | undefined;
  readonly namespaces: SandboxNamespaces;
  readonly sysctls: Readonly<Record<string, string>>;
  /** Undefined: copy the host's. */
  readonly resolvConf: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly privileged: boolean;
  /** For the log: what is asked for and has no effect here. */
  readonly notices: readonly string[];
}

// HOST_NAME_MAX of Linux; RFC 1123 names, as kubelet sends them.
const label = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

export const validateHostname = (hostname: string): string => {
  if (hostname.length > 64) throw invalid(`hostname: ${hostname.length} characters, the kernel takes 64`);
  if (!hostname.split('.').every((part) => label.test(part)))
    throw invalid(`hostname: ${JSON.stringify(hostname)} is not a host name`);
  return hostname;
};

// A pod in the host's UTS namespace has the host's name. Else the request's, or the pod's name as far as it can be one.
const chooseHostname = (config: PodSandboxConfig, uts: SandboxNamespaces['uts'], host: string): string => {
  if (config.hostname) return validateHostname(config.hostname);
  if (uts === 'node') return host;
  const name = (config.metadata?.name ?? '')
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .slice(0, 63);
  const trimmed = name.replace(/\.+/g, '.').replace(/^[.-]+|[.-]+$/g, '');
  return trimmed.split('.').every((part) => label.test(part)) ? trimmed : 'pod';
};

const metadata = (config: PodSandboxConfig): SandboxSpec['metadata'] => {
  const { metadata: given } = config;
  if (!given) throw invalid('metadata: is missing');
  return {
    name: validateName(given.name, 'metadata.name'),
    uid: validateName(given.uid, 'metadata.uid'),
    namespace: validateName(given.namespace, 'metadata.namespace'),
    attempt: validateAttempt(given.attempt),
  };
};

/** The limits of a pod as a whole: kubelet sets them in the pod's cgroup, Berth checks, keeps and tells them. */
export const checkPodResources = (field: string, resources: LinuxResources | undefined): void => {
  try {
    if (resources) containerResources(resources, [], { pod: true });
    oomScoreAdj(resources);
  } catch (error) {
    throw within(field, error);
  }
};

/** Checks a pod's configuration and works out what to make. Errors name the field. */
export const sandboxSpec = (
  config: PodSandboxConfig,
  host: { readonly hostname: string; readonly selinux: SelinuxHost },
): SandboxSpec => {
  if (config.windows) throw new BerthError('unimplemented', 'windows: this is Linux');
  const namespaces = sandboxNamespaces(config);
  checkPodResources('linux.overhead', config.linux?.overhead);
  checkPodResources('linux.resources', config.linux?.resources);
  return {
    metadata: metadata(config),
    hostname: chooseHostname(config, namespaces.uts, host.hostname),
    logDirectory: logDirectory(config.log_directory),
    namespaces,
    sysctls: validateSysctls(config.linux?.sysctls, namespaces),
    resolvConf: resolvConf(config.dns_config),
    labels: validateMap(config.labels, 'labels'),
    annotations: validateMap(config.annotations, 'annotations'),
    privileged: config.linux?.security_context?.privileged ?? false,
    notices: checkSelinux(config.linux?.security_context?.selinux_options, host),
  };
};
