import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { BerthError, invalid, orMissing } from '../../base/errors.ts';

/** SELinuxOption of the CRI; an empty part is left to the policy. */
export interface SelinuxParts {
  readonly user?: string | undefined;
  readonly role?: string | undefined;
  readonly type?: string | undefined;
  readonly level?: string | undefined;
}

/** What the node's policy says that containers are: `user:role:type:level` each. */
export interface ContainerContexts {
  readonly process: string;
  readonly file: string;
}

export interface ContainerLabels {
  /** OCI process.selinuxLabel. */
  readonly process: string;
  /** OCI linux.mountLabel: what the container may read and write. */
  readonly mount: string;
}

/** `off`: the kernel has SELinux, and this node's configuration leaves labels alone. */
export type SelinuxHost =
  | { readonly kind: 'absent' | 'off' }
  | { readonly kind: 'on'; readonly contexts: ContainerContexts | undefined };

/** container-selinux keeps the first up to date; the second is the policy's own (selinux_lxc_contexts_path(3)). */
const contextFiles = (type: string): readonly string[] => [
  '/usr/share/containers/selinux/contexts',
  `/etc/selinux/${type}/contexts/lxc_contexts`,
];

/** Undefined: the kernel has no SELinux, or its policy knows no containers. */
export const readContainerContexts = async (): Promise<ContainerContexts | undefined> => {
  const config = (await orMissing(readFile('/etc/selinux/config', 'utf8'))) ?? '';
  const type = /^\s*SELINUXTYPE\s*=\s*([\w-]+)\s*$/m.exec(config)?.[1] ?? 'targeted';
  for (const path of contextFiles(type)) {
    const text = await orMissing(readFile(path, 'utf8'));
    if (text !== undefined) return parseContexts(text);
  }
  return undefined;
};

/** Lines such as `process = "system_u:system_r:container_t:s0"`. */
export const parseContexts = (text: string): ContainerContexts | undefined => {
  const value = (key: string): string | undefined =>
    new RegExp(`^[ \\t]*${key}[ \\t]*=[ \\t]*"?([\\w.:,-]+)"?[ \\t]*$`, 'm').exec(text)?.[1];
  const [process, file] = [value('process'), value('file')];
  return process === undefined || file === undefined ? undefined : { process, file };
};

const levelForm = /^s\d{1,2}(?:-s\d{1,2})?(?::c\d{1,4}(?:\.c\d{1,4})?(?:,c\d{1,4}(?:\.c\d{1,4})?)*)?$/;

/** The parts of a request. Errors: `invalid-argument` names the one that is none. */
export const checkSelinuxParts = (options: SelinuxParts): SelinuxParts => {
  const { user = '', role = '', type = '', level = '' } = options;
  for (const [field, part] of Object.entries({ user, role, type }))
    if (!/^[\w.-]{0,255}$/.test(part))
      throw invalid(`selinux_options.${field}: ${JSON.stringify(part.slice(0, 80))} is not a name of a policy`);
  if (level !== '' && !levelForm.test(level))
    throw invalid(`selinux_options.level: ${JSON.stringify(level.slice(0, 80))} is not like "s0:c1,c2"`);
  return { user, role, type, level };
};

export const isLabelled = ({ user, role, type, level }: SelinuxParts): boolean =>
  Boolean(user || role || type || level);

/** A level holds colons of its own. */
const withParts = (context: string, parts: SelinuxParts): string => {
  const [user = '', role = '', type = '', ...level] = context.split(':');
  return [parts.user || user, parts.role || role, parts.type || type, parts.level || level.join(':')].join(':');
};

/**
 * A container's labels: the policy's contexts, with what the container or else its pod asks for. `podLevel` parts pods from
 * each other and is the same for all containers of one. Files keep the policy's role and type.
 */
export const containerLabels = (
  contexts: ContainerContexts | undefined,
  pod: SelinuxParts,
  container: SelinuxParts,
  podLevel: string,
): ContainerLabels | undefined => {
  const asked = isLabelled(container) ? container : pod;
  if (contexts === undefined) {
    if (!isLabelled(asked)) return undefined;
    throw new BerthError('failed-precondition', "selinux_options: the node's policy has no contexts for containers");
  }
  const level = asked.level || pod.level || podLevel;
  return {
    process: withParts(contexts.process, { ...asked, level }),
    mount: withParts(contexts.file, { user: asked.user ?? '', level }),
  };
};

const categories = 1024;

/** Two of the policy's categories, in a pair that no other pod has: `s0:c12,c345`. */
export const drawLevel = (taken: ReadonlySet<string>): string => {
  for (;;) {
    const [a, b] = [randomInt(categories), randomInt(categories)];
    const level = `s0:c${Math.min(a, b)},c${Math.max(a, b)}`;
    if (a !== b && !taken.has(level)) return level;
    if (taken.size > (categories * (categories - 1)) / 4)
      throw new BerthError('resource-exhausted', 'SELinux: too many pods');
  }
};
