import { invalid } from '../../base/errors.ts';
import { type JsonObject, objectField, objectsField, textField, textsField } from '../../images/json.ts';
import { parseCapability } from './capabilities.ts';
import type { Cpu } from './seccomp-calls.ts';

/** What a rule's conditions are asked of. */
export interface Place {
  readonly cpu: Cpu;
  /** uname(2) release: "6.18.5-amd64". */
  readonly kernel: string;
  readonly capabilities: ReadonlySet<string>;
}

/** A CPU under its names in Go (`arches`) and in libseccomp (`archMap`). */
const cpuNames: Readonly<Record<Cpu, { readonly go: string; readonly scmp: string }>> = {
  x64: { go: 'amd64', scmp: 'SCMP_ARCH_X86_64' },
  arm64: { go: 'arm64', scmp: 'SCMP_ARCH_AARCH64' },
};

interface Condition {
  readonly caps: readonly string[];
  readonly arches: readonly string[];
  readonly minKernel: readonly [number, number] | undefined;
}

/** Does the rule hold for this container: all that `includes` names is so, and nothing that `excludes` names. */
export const holds = (rule: JsonObject, what: string, place: Place): boolean => {
  const includes = condition(rule, 'includes', what);
  const excludes = condition(rule, 'excludes', what);
  const { go } = cpuNames[place.cpu];
  const has = (name: string): boolean => place.capabilities.has(name);
  const isIncluded =
    (includes.arches.length === 0 || includes.arches.includes(go)) &&
    includes.caps.every(has) &&
    (includes.minKernel === undefined || isAtLeast(place.kernel, includes.minKernel));
  const isExcluded =
    excludes.arches.includes(go) ||
    excludes.caps.some(has) ||
    (excludes.minKernel !== undefined && isAtLeast(place.kernel, excludes.minKernel));
  return isIncluded && !isExcluded;
};

const condition = (rule: JsonObject, key: 'includes' | 'excludes', what: string): Condition => {
  const where = `${what}: ${key}`;
  const object = objectField(rule, key, what) ?? {};
  const other = Object.keys(object).find((name) => !['caps', 'arches', 'minKernel'].includes(name));
  if (other !== undefined) throw invalid(`${where}: ${JSON.stringify(other.slice(0, 64))} is not supported`);
  const caps = textsField(object, 'caps', where).map((name, index) => {
    try {
      return parseCapability(name);
    } catch {
      throw invalid(`${where}: caps[${index}] ${JSON.stringify(name.slice(0, 64))}: no such capability`);
    }
  });
  return { caps, arches: textsField(object, 'arches', where), minKernel: minKernel(object, where) };
};

const minKernel = (object: JsonObject, what: string): readonly [number, number] | undefined => {
  const text = textField(object, 'minKernel', what);
  if (text === '') return undefined;
  const [, major, minor] = /^(\d{1,5})\.(\d{1,5})$/.exec(text) ?? [];
  if (major === undefined) throw invalid(`${what}: minKernel ${JSON.stringify(text.slice(0, 64))} is not like "4.8"`);
  return [Number(major), Number(minor)];
};

const isAtLeast = (release: string, [major, minor]: readonly [number, number]): boolean => {
  const [ownMajor = 0, ownMinor = 0] = release.split(/[^\d]/, 2).map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
};

/** `architectures` as they stand, or this CPU's line of `archMap`. */
export const architecturesOf = (profile: JsonObject, what: string, { cpu }: Place): readonly string[] => {
  const given = textsField(profile, 'architectures', what);
  const map = (objectsField(profile, 'archMap', what) ?? []).map((entry, index) => {
    const where = `${what}: archMap[${index}]`;
    const other = Object.keys(entry).find((name) => !['architecture', 'subArchitectures'].includes(name));
    if (other !== undefined) throw invalid(`${where}: ${JSON.stringify(other.slice(0, 64))} is not supported`);
    return { name: textField(entry, 'architecture', where), more: textsField(entry, 'subArchitectures', where) };
  });
  if (given.length > 0 && map.length > 0) throw invalid(`${what}: both architectures and archMap`);
  const own = map.find(({ name }) => name === cpuNames[cpu].scmp);
  return own === undefined ? given : [own.name, ...own.more];
};
