import { BerthError } from '../../base/errors.ts';
import { readJson } from '../../base/files.ts';
import { seccompMask } from '../../shim/compile.ts';
import { compileExec } from '../../shim/compile-exec.ts';
import type { OciSpec } from '../../shim/oci.ts';
import { userNamespaceOf } from '../../shim/user-namespace.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { joinCgroup } from './cgroup.ts';
import { filterOf } from './filter.ts';

/** What all execs of a container share; read from its bundle at the first one. */
interface Base {
  readonly spec: OciSpec;
  readonly bpf: Uint8Array | undefined;
}

const bases = new WeakMap<Container, Promise<Base>>();

/** The plan of one more process in the container: as its main process, but for the command and the terminal. */
export const execPlan = async (
  runtime: Runtime,
  container: Container,
  command: readonly string[],
  terminal = false,
): Promise<Buffer> => {
  const base = await baseOf(runtime, container);
  const { spec, bpf } = base;
  const user = userNamespaceOf(spec);
  const cgroup = joinCgroup(runtime.cgroups, spec.linux.cgroupsPath, runtime.agent.features);
  return compileExec(
    { ...spec.process, args: command, env: environment(spec.process.env, terminal), terminal },
    {
      namespaces: spec.linux.namespaces,
      join: cgroup.join,
      ...(cgroup.into === undefined ? {} : { into: cgroup.into }),
      ...(user === undefined ? {} : { user }),
      ...(bpf === undefined ? {} : { bpf, seccompFlags: seccompMask(spec) }),
    },
  );
};

/** The next exec reads the bundle again. */
export const forgetBase = (container: Container): void => void bases.delete(container);

/** A program with a terminal has to know which: what TERM=xterm says is true of all that kubectl runs in. */
const environment = (env: readonly string[], terminal: boolean): readonly string[] =>
  !terminal || env.some((entry) => entry.startsWith('TERM=')) ? env : [...env, 'TERM=xterm'];

const baseOf = (runtime: Runtime, container: Container): Promise<Base> => {
  const known = bases.get(container);
  if (known !== undefined) return known;
  const base = readBase(runtime, container);
  bases.set(container, base);
  base.catch(() => bases.delete(container));
  return base;
};

/** The bundle's config.json. */
export const specOfRunning = async (runtime: Runtime, container: Container): Promise<OciSpec> =>
  (await baseOf(runtime, container)).spec;

const readBase = async (runtime: Runtime, container: Container): Promise<Base> => {
  const { spec: path } = containerPaths(runtime.config, container.id);
  const spec = (await readJson(path)) as OciSpec | undefined;
  if (spec === undefined) throw new BerthError('data-loss', `exec in container ${container.id}: ${path} is missing`);
  return { spec, bpf: await filterOf(runtime, spec) };
};
