import { invalid } from '../base/errors.ts';
import { Feature } from './protocol.ts';

/** What this kernel has; each was tried at start (docs/protocol.md). */
export interface KernelFeatures {
  /** overlayfs takes layers one by one (`lowerdir+`), Linux 6.7. */
  readonly lowerdirPlus: boolean;
  /** overlayfs by fsopen, Linux 6.5. */
  readonly overlayNewApi: boolean;
  /** `cgroup.kill`, Linux 5.14. */
  readonly cgroupKill: boolean;
  /** CLONE_INTO_CGROUP, Linux 5.7. */
  readonly cloneIntoCgroup: boolean;
  /** mount_setattr with AT_RECURSIVE, Linux 5.12. */
  readonly recursiveReadOnly: boolean;
  /** overlayfs on idmapped layers, Linux 5.19 (tried on tmpfs, which has it from 6.3). */
  readonly idmappedOverlayLower: boolean;
  /** Executable memfds are allowed (sysctl vm.memfd_noexec). */
  readonly memfdExec: boolean;
}

export type FeatureName = keyof KernelFeatures;

const bits: Readonly<Record<FeatureName, number>> = {
  lowerdirPlus: Feature.LOWERDIR_PLUS,
  overlayNewApi: Feature.OVERLAY_NEW_API,
  cgroupKill: Feature.CGROUP_KILL,
  cloneIntoCgroup: Feature.CLONE_INTO_CGROUP,
  recursiveReadOnly: Feature.RECURSIVE_READ_ONLY,
  idmappedOverlayLower: Feature.IDMAPPED_OVERLAY_LOWER,
  memfdExec: Feature.MEMFD_EXEC,
};

export const featureNames = Object.keys(bits) as FeatureName[];

const has = (mask: number, name: FeatureName): boolean => (mask & bits[name]) !== 0;

export const featuresOf = (mask: number): KernelFeatures => ({
  lowerdirPlus: has(mask, 'lowerdirPlus'),
  overlayNewApi: has(mask, 'overlayNewApi'),
  cgroupKill: has(mask, 'cgroupKill'),
  cloneIntoCgroup: has(mask, 'cloneIntoCgroup'),
  recursiveReadOnly: has(mask, 'recursiveReadOnly'),
  idmappedOverlayLower: has(mask, 'idmappedOverlayLower'),
  memfdExec: has(mask, 'memfdExec'),
});

export const maskOf = (names: readonly FeatureName[]): number => names.reduce((mask, name) => mask | bits[name], 0);

/** `lowerdirPlus` → `lowerdir-plus`, as users and BERTH_WITHOUT name it. */
export const featureLabel = (name: FeatureName): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The features that a test switches off: BERTH_WITHOUT, a list such as `lowerdir-plus,cgroup-kill`. */
export const switchedOff = (list: string | undefined): readonly FeatureName[] =>
  (list ?? '')
    .split(',')
    .filter((label) => label !== '')
    .map((label) => {
      const name = featureNames.find((one) => featureLabel(one) === label);
      if (name === undefined)
        throw invalid(`BERTH_WITHOUT: ${label} is not one of ${featureNames.map(featureLabel).join(', ')}`);
      return name;
    });
