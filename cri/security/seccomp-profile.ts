import { invalid, messageOf } from '../../base/errors.ts';
import { readLimited } from '../../base/files.ts';
import { type JsonObject, objectsField, parseObject, sizeField, textField, textsField } from '../../images/json.ts';
import type { OciSeccomp, OciSyscallRule } from '../../shim/oci.ts';

/** The default profile is a tenth of it. */
const sizeLimit = 1 << 20;

/**
 * A profile file of the node: `linux.seccomp` of the OCI runtime-spec (config-linux.md, Seccomp) as JSON. Throws `invalid-argument` with
 * the path. The actions, names and conditions are checked where the profile is compiled.
 */
export const readSeccompProfile = async (path: string): Promise<OciSeccomp> => {
  const what = `seccomp profile ${path}`;
  const bytes = await readLimited(path, sizeLimit).catch((error: unknown) => {
    throw invalid(`${what}: ${messageOf(error)}`);
  });
  if (bytes === undefined) throw invalid(`${what}: there is no such file on this node`);
  return parseSeccompProfile(bytes, what);
};

/** `what` begins every error. */
export const parseSeccompProfile = (bytes: Uint8Array, what: string): OciSeccomp => {
  const profile = parseObject(bytes, what);
  onlyKnown(profile, ['defaultAction', 'defaultErrnoRet', 'architectures', 'flags', 'syscalls'], what);
  const flags = textsField(profile, 'flags', what);
  checkFlags(flags, what);
  return {
    defaultAction: action(profile, 'defaultAction', what),
    ...number(profile, 'defaultErrnoRet', what),
    architectures: textsField(profile, 'architectures', what),
    flags,
    syscalls: (objectsField(profile, 'syscalls', what) ?? []).map((each, index) =>
      rule(each, `${what}: syscalls[${index}]`),
    ),
  };
};

const rule = (object: JsonObject, what: string): OciSyscallRule => {
  onlyKnown(object, ['names', 'action', 'errnoRet', 'args'], what);
  const names = textsField(object, 'names', what);
  if (names.length === 0) throw invalid(`${what}: names is empty`);
  const args = objectsField(object, 'args', what) ?? [];
  return {
    names,
    action: action(object, 'action', what),
    ...number(object, 'errnoRet', what),
    ...(args.length === 0 ? {} : { args: args.map((each, index) => argument(each, `${what}: args[${index}]`)) }),
  };
};

const argument = (object: JsonObject, what: string): NonNullable<OciSyscallRule['args']>[number] => {
  onlyKnown(object, ['index', 'value', 'valueTwo', 'op'], what);
  return {
    index: sizeField(object, 'index', what),
    value: sizeField(object, 'value', what),
    ...number(object, 'valueTwo', what),
    op: textField(object, 'op', what),
  };
};

const action = (object: JsonObject, key: string, what: string): string => {
  const text = textField(object, key, what);
  if (text === '') throw invalid(`${what}: ${key} is missing`);
  return text;
};

/** Nothing when it is left out. */
const number = <Key extends string>(object: JsonObject, key: Key, what: string): { readonly [K in Key]?: number } =>
  Object.hasOwn(object, key) && object[key] !== null
    ? ({ [key]: sizeField(object, key, what) } as { readonly [K in Key]: number })
    : {};

/** What is not known (Docker's `includes`, `archMap`, a listener) would change what the profile means if it were left out. */
const onlyKnown = (object: JsonObject, keys: readonly string[], what: string): void => {
  const other = Object.keys(object).find((key) => key !== 'comment' && !keys.includes(key) && object[key] !== null);
  if (other !== undefined) throw invalid(`${what}: ${JSON.stringify(other.slice(0, 64))} is not supported`);
};

/** These change nothing for a filter that a single thread loads and a kernel that mitigates by its own policy. */
const idleFlags = ['SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'];

const checkFlags = (flags: readonly string[], what: string): void => {
  const other = flags.find((flag) => !idleFlags.includes(flag));
  if (other !== undefined) throw invalid(`${what}: flag ${JSON.stringify(other.slice(0, 64))} is not supported`);
};
