import { dirname, join } from 'node:path';
import { within } from '../../base/errors.ts';
import type { OciSeccomp, OciSpec } from '../../shim/oci.ts';
import { shimProgram } from '../../shim/program.ts';
import type { Runtime } from '../runtime.ts';
import { compileSeccomp } from '../security/seccomp.ts';
import { defaultSeccomp } from '../security/seccomp-default.ts';
import { placeOf, readSeccompProfile } from '../security/seccomp-profile.ts';
import type { ContainerSpec } from '../spec/container.ts';

/** The spec with the profiles that the request chose: whoever reads config.json sees what holds. */
export const withProfiles = async (runtime: Runtime, container: ContainerSpec): Promise<ContainerSpec> => {
  const [seccomp, apparmorProfile] = await Promise.all([
    profileOf(runtime, container),
    runtime.appArmor.profileOf(container.appArmor),
  ]);
  const { process, linux } = container.spec;
  const spec = {
    ...container.spec,
    process: { ...process, ...(apparmorProfile === undefined ? {} : { apparmorProfile }) },
    linux: { ...linux, ...(seccomp === undefined ? {} : { seccomp }) },
  };
  return { ...container, spec };
};

const profileOf = async ({ config }: Runtime, { seccomp, spec }: ContainerSpec): Promise<OciSeccomp | undefined> => {
  if (seccomp.kind === 'unconfined') return undefined;
  const { bounding } = spec.process.capabilities;
  if (seccomp.kind === 'localhost') return readSeccompProfile(seccomp.path, placeOf(bounding));
  if (config.seccomp.default !== 'builtin') return readSeccompProfile(config.seccomp.default, placeOf(bounding));
  return runtimeDefault(bounding);
};

const defaults = new Map<string, OciSeccomp>();

/** One object for all containers with the same capabilities, so that it is compiled once. */
const runtimeDefault = (capabilities: readonly string[]): OciSeccomp => {
  const key = capabilities.toSorted().join();
  const known = defaults.get(key);
  if (known !== undefined) return known;
  const profile = defaultSeccomp(capabilities, placeOf(capabilities).cpu);
  defaults.set(key, profile);
  return profile;
};

const programs = new WeakMap<OciSeccomp, Promise<Uint8Array>>();

/** The spec's profile as BPF; undefined when it has none. */
export const filterOf = (runtime: Runtime, { linux: { seccomp } }: OciSpec): Promise<Uint8Array | undefined> => {
  if (seccomp === undefined) return Promise.resolve(undefined);
  const known = programs.get(seccomp);
  if (known !== undefined) return known;
  const program = compile(runtime, seccomp);
  programs.set(seccomp, program);
  program.catch(() => programs.delete(seccomp));
  return program;
};

const compile = async (runtime: Runtime, profile: OciSeccomp): Promise<Uint8Array> => {
  const tool = join(dirname(await shimProgram()), 'berth-seccomp');
  try {
    return await compileSeccomp(runtime.agent, tool, join(runtime.config.root, 'seccomp'), profile);
  } catch (error) {
    throw within('compile the seccomp profile', error);
  }
};
