import { addCredentials } from './compile-process.ts';
import { cString } from './frames.ts';
import { CloneFlag } from './linux.ts';
import { Plan } from './plan.ts';
import { hostId, type UserNamespace } from './user-namespace.ts';

export interface CopyOptions {
  /** `out`: a tar stream of `path` to stdout. `in`: the one of stdin is made at `path`. */
  readonly direction: 'out' | 'in';
  /** In the container. */
  readonly path: string;
  /** The container's, when it has one of its own. */
  readonly user?: UserNamespace | undefined;
  /** v1 `tasks` files: what it takes is the container's. */
  readonly join: readonly string[];
  /** v2 directory: cloned into. */
  readonly into?: string;
}

/** What it takes to read and make files of any owner; nothing that reaches beyond files. */
const capabilities = ['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID'].map((name) => `CAP_${name}`);

/** The plan of a copy out of or into a running container, in its mount namespace. Pure. */
export const compileCopy = (options: CopyOptions): Buffer => {
  const plan = new Plan();
  plan.add('CLONE', 0, options.into ?? '');
  for (const file of options.join) plan.add('CGROUP_JOIN', file);
  const { user } = options;
  if (user !== undefined) plan.add('OWN_STREAMS', hostId(user.uids, 0));
  plan.add('JOIN_CONTAINER', CloneFlag.mount | (user === undefined ? 0 : CloneFlag.user));
  addCredentials(plan, {
    user: { uid: 0, gid: 0, additionalGids: [] },
    capabilities: {
      bounding: capabilities,
      effective: capabilities,
      permitted: capabilities,
      inheritable: [],
      ambient: [],
    },
    noNewPrivileges: true,
  });
  plan.add('COPY', options.direction === 'in' ? 1 : 0, cString(options.path, 'path'));
  return plan.encode();
};
