import { invalid } from '../../base/errors.ts';
import type { SandboxNamespaces } from './namespaces.ts';
import type { StringMap } from './types.ts';

// The sysctls that belong to a namespace; all others would change the host.
// https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/
const ipc =
  /^(?:kernel\.(?:shmall|shmmax|shmmni|shm_rmid_forced|msgmax|msgmnb|msgmni|msg_next_id|sem|sem_next_id|shm_next_id)|fs\.mqueue\.[a-z_]+)$/;
const net = /^net(?:\.[A-Za-z0-9_-]+)+$/;
const uts = /^kernel\.(?:hostname|domainname)$/;

// Both spellings: net.ipv4.conf.eth0/1.rp_filter and net/ipv4/conf/eth0.1/rp_filter. The separator that stands first decides.
const withDots = (name: string): string => {
  const first = /[./]/.exec(name)?.[0];
  return first === '/' ? name.replace(/[./]/g, (found) => (found === '/' ? '.' : '/')) : name;
};

const check = (name: string, namespaces: SandboxNamespaces): void => {
  const plain = name.replaceAll('/', '_');
  if (ipc.test(name)) {
    if (namespaces.ipc === 'node') throw invalid(`sysctl ${name}: the pod uses the host's IPC namespace`);
  } else if (net.test(plain)) {
    if (namespaces.network === 'node') throw invalid(`sysctl ${name}: the pod uses the host's network`);
  } else if (uts.test(name)) throw invalid(`sysctl ${name}: use the hostname field of the pod`);
  else throw invalid(`sysctl ${JSON.stringify(name.slice(0, 256))}: not one of a namespace, it would change the host`);
};

/**
 * The pod's sysctls, by name with dots. They are written one by one into their own file and never joined into a text that something
 * parses again (CVE-2022-0811).
 */
export const validateSysctls = (
  sysctls: StringMap | undefined,
  namespaces: SandboxNamespaces,
): Readonly<Record<string, string>> => {
  const entries = Object.entries(sysctls ?? {}).map(([key, value = '']) => {
    const name = withDots(key);
    if (name.length > 256 || name.split(/[./]/).some((part) => part === ''))
      throw invalid(`sysctl ${JSON.stringify(key.slice(0, 256))}: not a name`);
    check(name, namespaces);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a tab parts the numbers of a value such as kernel.sem
    if (value === '' || value.length > 4096 || /[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))
      throw invalid(`sysctl ${name}: the value is empty, too long or holds a control character`);
    return [name, value] as const;
  });
  return Object.fromEntries(entries);
};
