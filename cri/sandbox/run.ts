import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { encode } from '../../api/codec.ts';
import type { PodSandboxConfig, RunPodSandboxRequest, RunPodSandboxResponse } from '../../api/generated/types.ts';
import { toJson } from '../../api/json.ts';
import { newId } from '../../base/digest.ts';
import { BerthError, invalid, messageOf, within } from '../../base/errors.ts';
import { Rollback } from '../../base/rollback.ts';
import type { KernelFeatures } from '../../shim/features.ts';
import { birthIn } from '../birth.ts';
import { createOnce } from '../create-once.ts';
import { tellSandbox } from '../events/get-container-events.ts';
import type { Runtime } from '../runtime.ts';
import { checkHandler } from '../runtime-handlers.ts';
import { drawLevel } from '../security/selinux.ts';
import { checkPod } from '../spec/pod-checks.ts';
import { type SandboxSpec, sandboxSpec } from '../spec/sandbox.ts';
import { type Sandbox, type SandboxRecord, sandboxKey } from '../state/sandbox.ts';
import { buildSandbox } from './build.ts';
import { parentsToMake } from './cgroup-parents.ts';
import { setRecord } from './save.ts';

/**
 * Makes a pod sandbox and answers with its id when it is ready. A retry joins the first call, or gets the id of the
 * sandbox that the first call made (lesson A1). It goes on when the caller has gone.
 */
export const runPodSandbox = async (
  runtime: Runtime,
  request: RunPodSandboxRequest,
): Promise<RunPodSandboxResponse> => {
  const { config, runtime_handler: handler } = request;
  if (config === undefined) throw invalid('RunPodSandbox: config is missing');
  checkHandler(runtime, 'RunPodSandbox', handler);
  const spec = sandboxSpec(config, runtime.host);
  checkPod(config, runtime.host);
  checkKernel(spec, runtime.agent.features);
  const key = sandboxKey(config);
  const id = await createOnce(
    runtime,
    { key: `pod sandbox ${key}`, config: encode('PodSandboxConfig', config) },
    async () => {
      const there = runtime.sandboxes.withKey(key);
      return there === undefined ? make(runtime, config, spec, handler) : sameSandbox(there, config);
    },
  );
  return { pod_sandbox_id: id };
};

const checkKernel = ({ namespaces }: SandboxSpec, { idmappedOverlayLower }: KernelFeatures): void => {
  if (namespaces.user !== undefined && !idmappedOverlayLower)
    throw new BerthError(
      'unimplemented',
      'userns_options.mode: POD: needs Linux 6.3 or newer (idmapped layers below overlayfs) with user namespaces allowed',
    );
};

const sameSandbox = (there: Sandbox, config: PodSandboxConfig): string => {
  const same = encode('PodSandboxConfig', config).equals(encode('PodSandboxConfig', there.config));
  if (same && there.record.state === 'ready') return there.id;
  const what = same ? `is ${there.record.state}` : 'has another configuration';
  throw new BerthError(
    'already-exists',
    `pod sandbox ${there.key} is there with the id ${there.id} and ${what}: remove it first`,
  );
};

const make = async (
  runtime: Runtime,
  config: PodSandboxConfig,
  spec: SandboxSpec,
  handler: string,
): Promise<string> => {
  const cgroupParents = await parentsToMake(runtime, config.linux?.cgroup_parent);
  const sandbox = newSandbox(runtime, config, spec, { runtimeHandler: handler, cgroupParents });
  for (const notice of spec.notices) runtime.log.warn({ sandbox: sandbox.id }, notice);
  await using rollback = new Rollback((name, error) =>
    runtime.log.error({ sandbox: sandbox.id, step: name, error: messageOf(error) }, 'undo of a pod sandbox failed'),
  );
  await runtime.sandboxStore.save(sandbox.record, { durable: false });
  rollback.add('record', () => runtime.sandboxStore.remove(sandbox.id));
  const ips = await buildSandbox(runtime, sandbox, spec, rollback).catch((error: unknown) => {
    throw within(`run pod sandbox ${sandbox.key}`, error);
  });
  await setRecord(runtime, sandbox, { state: 'ready', ips });
  runtime.sandboxes.add(sandbox);
  tellSandbox(runtime, sandbox, 'created');
  tellSandbox(runtime, sandbox, 'started');
  rollback.keep();
  return sandbox.id;
};

/** None where labels are off; the request's own, or one that no other pod has. */
const selinuxLevel = ({ host, sandboxes }: Runtime, config: PodSandboxConfig): Pick<SandboxRecord, 'selinuxLevel'> => {
  if (host.selinux.kind !== 'on') return {};
  const taken = new Set(sandboxes.values().map(({ record }) => record.selinuxLevel ?? ''));
  return { selinuxLevel: config.linux?.security_context?.selinux_options?.level || drawLevel(taken) };
};

const newSandbox = (
  runtime: Runtime,
  config: PodSandboxConfig,
  spec: SandboxSpec,
  known: Pick<SandboxRecord, 'runtimeHandler' | 'cgroupParents'>,
): Sandbox => {
  const id = newId();
  const netns = spec.namespaces.network === 'node' ? '' : join(runtime.config.network.netns_dir, `cni-${randomUUID()}`);
  return {
    id,
    key: sandboxKey(config),
    config,
    record: {
      version: 1,
      id,
      createdAt: birthIn(runtime, config),
      config: toJson('PodSandboxConfig', config),
      state: 'creating',
      netns,
      ips: [],
      ...selinuxLevel(runtime, config),
      ...known,
    },
  };
};
