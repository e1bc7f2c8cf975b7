import { addCredentials, addExec, addLabels, addRlimits } from './compile-process.ts';
import { cString } from './frames.ts';
import { CloneFlag } from './linux.ts';
import type { OciNamespace, OciProcess } from './oci.ts';
import { Plan } from './plan.ts';
import { hostId, type UserNamespace } from './user-namespace.ts';

export interface ExecOptions {
  /** The container's. Its pid namespace is the supervisor's children's already. */
  readonly namespaces: readonly OciNamespace[];
  /** v1 `tasks` files. */
  readonly join: readonly string[];
  /** v2 directory: cloned into. */
  readonly into?: string;
  readonly user?: UserNamespace;
  readonly bpf?: Uint8Array;
  readonly seccompFlags?: number;
  /** Rows and columns, where the process has a terminal. */
  readonly size?: { readonly rows: number; readonly columns: number };
}

/** The plan of one more process in a running container. Pure. Errors: `invalid-argument`. */
export const compileExec = (process: OciProcess, options: ExecOptions): Buffer => {
  const plan = new Plan();
  plan.add('CLONE', 0, options.into ?? '');
  for (const file of options.join) plan.add('CGROUP_JOIN', file);
  if (process.oomScoreAdj !== undefined) plan.add('OOM_SCORE', String(process.oomScoreAdj));
  addLabels(plan, process);
  // Its own cgroup namespace shows what the container's does, and is what the exec is known by when it has to be killed
  // with all that it started.
  const own = options.namespaces.filter(({ type, path }) => type === 'cgroup' && path === undefined);
  const { user } = options;
  // Both need the host's rights.
  if (user !== undefined) {
    addRlimits(plan, process);
    plan.add('OWN_STREAMS', hostId(user.uids, process.user.uid));
  }
  plan.add('JOIN_CONTAINER', joined(options.namespaces.filter((namespace) => !own.includes(namespace))));
  if (own.length > 0) plan.add('UNSHARE', CloneFlag.cgroup);
  if (process.terminal) plan.add('TERMINAL', options.size?.rows ?? 0, options.size?.columns ?? 0);
  if (user === undefined) addRlimits(plan, process);
  plan.add('CWD', cString(process.cwd, 'cwd'), 0);
  addCredentials(plan, process);
  if (options.bpf !== undefined) plan.add('SECCOMP', options.seccompFlags ?? 0, options.bpf);
  addExec(plan, process);
  return plan.encode();
};

const joined = (namespaces: readonly OciNamespace[]): number =>
  namespaces.reduce((flags, { type }) => (type === 'pid' ? flags : flags | CloneFlag[type]), CloneFlag.mount as number);
