import { BerthError, invalid } from '../../base/errors.ts';
import type { OciCapabilities } from '../../shim/oci.ts';
import type { AppArmorChoice } from '../security/apparmor.ts';
import { allCapabilities, capabilityMask, capabilitySet, parseCapability } from '../security/capabilities.ts';
import { checkSelinuxParts, containerLabels, type SelinuxHost } from '../security/selinux.ts';
import type { PodSandboxConfig, SecurityContext, SecurityProfile, SelinuxOption } from './types.ts';
import { absolutePath, cleanPath, enumName, plainText } from './values.ts';

/** Which seccomp filter: the caller reads and compiles it. `path` is absolute. */
export type SeccompChoice =
  | { readonly kind: 'unconfined' }
  | { readonly kind: 'runtime-default' }
  | { readonly kind: 'localhost'; readonly path: string };

type Profile =
  | { readonly kind: 'unconfined' | 'runtime-default' }
  | { readonly kind: 'localhost'; readonly name: string };
const profileTypes = ['RuntimeDefault', 'Unconfined', 'Localhost'] as const;

const profile = (message: SecurityProfile, field: string): Profile => {
  const type = enumName(message.profile_type, profileTypes, `${field}.profile_type`);
  if (type !== 'Localhost' && message.localhost_ref) throw invalid(`${field}: localhost_ref with profile_type ${type}`);
  if (type === 'Unconfined') return { kind: 'unconfined' };
  if (type === 'RuntimeDefault') return { kind: 'runtime-default' };
  if (!message.localhost_ref) throw invalid(`${field}: profile_type Localhost without localhost_ref`);
  return { kind: 'localhost', name: message.localhost_ref };
};

// The deprecated text fields: "", "unconfined", "runtime/default" ("docker/default"), "localhost/NAME".
const textProfile = (text: string, field: string): Profile => {
  if (text === '' || text === 'unconfined') return { kind: 'unconfined' };
  if (text === 'runtime/default' || text === 'docker/default') return { kind: 'runtime-default' };
  if (text.startsWith('localhost/')) return { kind: 'localhost', name: text.slice('localhost/'.length) };
  throw invalid(`${field}: ${JSON.stringify(text.slice(0, 256))} is not a profile`);
};

// Clients that knew the text fields write their prefix into the new one as well.
const localName = (reference: string): string => reference.replace(/^localhost\//, '');

/** No message and no path means unconfined; so does privileged. */
export const seccompChoice = (context: SecurityContext): SeccompChoice => {
  const chosen = context.seccomp
    ? profile(context.seccomp, 'seccomp')
    : textProfile(context.seccomp_profile_path ?? '', 'seccomp_profile_path');
  const path = chosen.kind === 'localhost' ? absolutePath(localName(chosen.name), 'seccomp localhost_ref') : undefined;
  if (context.privileged || chosen.kind === 'unconfined') return { kind: 'unconfined' };
  return path === undefined ? { kind: 'runtime-default' } : { kind: 'localhost', path };
};

/**
 * The message, or else the old text. Without either, the runtime's default holds where the kernel has AppArmor
 * (kubernetes#51746). Errors: failed-precondition for a profile when the kernel has none.
 */
export const appArmorChoice = (context: SecurityContext, host: { readonly appArmor: boolean }): AppArmorChoice => {
  const isAsked = context.apparmor !== undefined || Boolean(context.apparmor_profile);
  const chosen = context.apparmor
    ? profile(context.apparmor, 'apparmor')
    : textProfile(context.apparmor_profile || 'runtime/default', 'apparmor_profile');
  const choice = withoutPrefix(chosen, isAsked);
  if (context.privileged || choice.kind === 'unconfined') return { kind: 'unconfined' };
  if (host.appArmor) return choice;
  if (!isAsked) return { kind: 'unconfined' };
  const named = choice.kind === 'localhost' ? JSON.stringify(choice.name) : 'RuntimeDefault';
  throw new BerthError('failed-precondition', `apparmor: profile ${named}: this kernel has no AppArmor`);
};

const withoutPrefix = (chosen: Profile, asked: boolean): AppArmorChoice => {
  if (chosen.kind === 'localhost')
    return { kind: 'localhost', name: plainText(localName(chosen.name), 'apparmor localhost_ref', 1024) };
  return chosen.kind === 'unconfined' ? { kind: 'unconfined' } : { kind: 'runtime-default', asked };
};

/**
 * What to tell the operator about a label that cannot be set. Without SELinux in the kernel a label has no meaning and pods that carry
 * one for other nodes still run, as with containerd and CRI-O; with it, running unlabelled would be less than was asked for.
 */
export const checkSelinux = (
  options: SelinuxOption | undefined,
  host: { readonly selinux: SelinuxHost },
): readonly string[] => {
  const { user, role, type, level } = checkSelinuxParts(options ?? {});
  const named = Object.entries({ user, role, type, level }).filter(([, value]) => value);
  if (named.length === 0 || host.selinux.kind === 'on') return [];
  const label = named.map(([part, value]) => `${part} ${value}`).join(', ');
  if (host.selinux.kind === 'absent') return [`selinux_options (${label}) have no effect: this kernel has no SELinux`];
  throw new BerthError(
    'failed-precondition',
    `selinux_options (${label}): labels are off, see selinux.enable of the configuration`,
  );
};

/** A privileged container's process keeps the label of Berth's own ones; what it may use is labelled all the same. */
export const selinuxLabels = (
  host: SelinuxHost,
  context: SecurityContext,
  pod: { readonly config: PodSandboxConfig; readonly selinuxLevel: string },
): { readonly selinuxLabel?: string; readonly mountLabel?: string } => {
  if (host.kind !== 'on') return {};
  const podOptions = checkSelinuxParts(pod.config.linux?.security_context?.selinux_options ?? {});
  const options = checkSelinuxParts(context.selinux_options ?? {});
  const labels = containerLabels(host.contexts, podOptions, options, pod.selinuxLevel);
  if (labels === undefined) return {};
  return { ...(context.privileged ? {} : { selinuxLabel: labels.process }), mountLabel: labels.mount };
};

/** Is the container privileged? Errors: a pod that is not privileged cannot hold one that is. */
export const isPrivileged = (context: SecurityContext, pod: PodSandboxConfig): boolean => {
  if (!context.privileged) return false;
  if (!pod.linux?.security_context?.privileged) throw invalid('privileged: the pod is not privileged');
  return true;
};

/** Left out quietly, the container would fail much later at what it asked this for. */
const checkAvailable = (asked: readonly string[], dropped: readonly string[], available: bigint | undefined): void => {
  const isNamed = (name: string): boolean => !/^(?:CAP_)?ALL$/i.test(name);
  const names = capabilitySet({ base: [], add: asked.filter(isNamed), drop: dropped.filter(isNamed) });
  const lacking = names.find((name) => available !== undefined && (capabilityMask([name]) & available) === 0n);
  if (lacking !== undefined)
    throw new BerthError('failed-precondition', `capabilities: ${lacking}: berthd itself does not have it here`);
};

/**
 * The five sets. Inheritable equals ambient, which holds only what add_ambient_capabilities names (CVE-2022-29162).
 * `available` is the mask of what the daemon itself has. Errors: invalid-argument for a name that is none,
 * failed-precondition for one that the daemon lacks; `ALL` means those that it has.
 */
export const containerCapabilities = (
  context: SecurityContext,
  privileged: boolean,
  available?: bigint,
): OciCapabilities => {
  const {
    add_capabilities: add = [],
    drop_capabilities: drop = [],
    add_ambient_capabilities: extra = [],
  } = context.capabilities ?? {};
  const limit = available === undefined ? {} : { available };
  checkAvailable([...add, ...extra], drop, privileged ? undefined : available);
  const set = privileged
    ? capabilitySet({ add: ['ALL'], drop: [], ...limit })
    : capabilitySet({ add: [...add, ...extra], drop, ...limit });
  const wanted = new Set(
    extra.flatMap((name) => (/^(?:CAP_)?ALL$/i.test(name) ? allCapabilities : [parseCapability(name)])),
  );
  const ambient = set.filter((name) => wanted.has(name));
  return { bounding: set, effective: set, permitted: set, inheritable: ambient, ambient };
};

/** Masked and read-only paths are the request's alone: none means `procMount: Unmasked` (containerd#5029). */
export const hiddenPaths = (
  paths: readonly string[] | undefined,
  privileged: boolean,
  field: string,
): readonly string[] => (privileged ? [] : (paths ?? []).map((path) => cleanPath(path, field)));
