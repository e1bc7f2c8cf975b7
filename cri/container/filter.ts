import { BerthError } from '../../base/errors.ts';
import type { OciSpec } from '../../shim/oci.ts';
import type { Runtime } from '../runtime.ts';
import type { ContainerSpec } from '../spec/container.ts';

export const withProfile = (container: ContainerSpec): ContainerSpec => {
  if (container.seccomp.kind !== 'unconfined') throw new BerthError('unimplemented', 'seccomp');
  return container;
};

export const filterOf = async (_runtime: Runtime, _spec: OciSpec): Promise<Uint8Array | undefined> => undefined;
