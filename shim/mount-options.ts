import { MountAttribute, propagations } from './linux.ts';
import type { OciMount } from './oci.ts';

/** What the options of an OCI mount ask for. */
export interface MountOptions {
  readonly attributes: number;
  readonly recursiveAttributes: number;
  readonly propagation: number;
  readonly recursive: boolean;
  readonly rest: readonly string[];
}

const attributes: Readonly<Record<string, number>> = {
  ro: MountAttribute.RDONLY,
  nosuid: MountAttribute.NOSUID,
  nodev: MountAttribute.NODEV,
  noexec: MountAttribute.NOEXEC,
  noatime: MountAttribute.NOATIME,
  strictatime: MountAttribute.STRICTATIME,
  nodiratime: MountAttribute.NODIRATIME,
  nosymfollow: MountAttribute.NOSYMFOLLOW,
};
const recursiveAttributes: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(attributes).map(([name, value]) => [`r${name}`, value]),
);
/** What a mount has without being told. */
const defaults = new Set([
  'rw',
  'rrw',
  'suid',
  'dev',
  'exec',
  'atime',
  'diratime',
  'relatime',
  'symfollow',
  'defaults',
]);

const sum = (options: readonly string[], bits: Readonly<Record<string, number>>): number =>
  options.reduce((all, option) => all | (bits[option] ?? 0), 0);

const isFlag = (option: string): boolean =>
  defaults.has(option) ||
  [attributes, recursiveAttributes, propagations].some((names) => Object.hasOwn(names, option)) ||
  option === 'bind' ||
  option === 'rbind';

export const mountOptions = (options: readonly string[]): MountOptions => ({
  attributes: sum(options, attributes),
  recursiveAttributes: sum(options, recursiveAttributes),
  propagation: options.reduce((last, option) => propagations[option] ?? last, 0),
  recursive: options.includes('rbind'),
  rest: options.filter((option) => !isFlag(option)),
});

export const isBind = ({ type, options }: OciMount): boolean =>
  type === 'bind' || options.includes('bind') || options.includes('rbind');
