import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { encode } from '../../api/codec.ts';
import type {
  ContainerConfig,
  CreateContainerRequest,
  CreateContainerResponse,
  PodSandboxConfig,
} from '../../api/generated/types.ts';
import { toJson } from '../../api/json.ts';
import { newId } from '../../base/digest.ts';
import { BerthError, invalid, messageOf, notFound, within } from '../../base/errors.ts';
import { Rollback } from '../../base/rollback.ts';
import type { ImageRecord } from '../../images/index.ts';
import { birthIn } from '../birth.ts';
import { createOnce } from '../create-once.ts';
import { tellContainer } from '../events/get-container-events.ts';
import { imageNames } from '../image/names.ts';
import type { Runtime } from '../runtime.ts';
import { checkHandler } from '../runtime-handlers.ts';
import { logPath } from '../spec/log-path.ts';
import { type Container, containerKey } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { type Bundle, makeBundle } from './bundle.ts';

/**
 * Makes a container from an image that is there; answers with its id. Everything that needs no process is checked here.
 * A retry joins the first call, or gets the id of what it made (lesson A1). It goes on when the caller has gone.
 */
export const createContainer = async (
  runtime: Runtime,
  request: CreateContainerRequest,
): Promise<CreateContainerResponse> => {
  const { config } = request;
  if (config === undefined) throw invalid('CreateContainer: config is missing');
  if (!config.metadata?.name) throw invalid('CreateContainer: config.metadata.name is missing');
  const sandbox = runtime.sandboxes.get(request.pod_sandbox_id);
  const key = containerKey(sandbox.id, config);
  const id = await createOnce(
    runtime,
    { key: `container ${key}`, config: encode('ContainerConfig', config) },
    async () => {
      const there = runtime.containers.withKey(key);
      return there === undefined
        ? make(runtime, sandbox, config, request.sandbox_config)
        : sameContainer(there, config);
    },
  );
  return { container_id: id };
};

const sameContainer = (there: Container, config: ContainerConfig): string => {
  const same = encode('ContainerConfig', config).equals(encode('ContainerConfig', there.config));
  if (same && there.record.state.kind === 'created') return there.id;
  const what = same ? `is ${there.record.state.kind}` : 'has another configuration';
  throw new BerthError(
    'already-exists',
    `container ${there.key} is there with the id ${there.id} and ${what}: remove it first`,
  );
};

const make = async (
  runtime: Runtime,
  sandbox: Sandbox,
  config: ContainerConfig,
  sandboxConfig: PodSandboxConfig | undefined,
): Promise<string> => {
  const id = newId();
  await using rollback = new Rollback((name, error) =>
    runtime.log.error({ container: id, step: name, error: messageOf(error) }, 'undo of a container failed'),
  );
  try {
    const container = await build(runtime, { id, sandbox, config, sandboxConfig }, rollback);
    rollback.add('record', () => runtime.containerStore.remove(id));
    await runtime.containerStore.save(container.record);
    checkReady(sandbox);
    runtime.containers.add(container);
    tellContainer(runtime, container, 'created');
  } catch (error) {
    throw within(`create container ${containerKey(sandbox.id, config)}`, error);
  }
  rollback.keep();
  return id;
};

interface Wanted {
  readonly id: string;
  readonly sandbox: Sandbox;
  readonly config: ContainerConfig;
  readonly sandboxConfig: PodSandboxConfig | undefined;
}

const build = async (runtime: Runtime, wanted: Wanted, rollback: Rollback): Promise<Container> => {
  const { id, sandbox, config } = wanted;
  checkReady(sandbox);
  const image = findImage(runtime, config);
  const namespace = sandbox.config.metadata?.namespace ?? '';
  runtime.images.checkAllowed(image, namespace, config.image?.user_specified_image ?? '');
  const log = logPath(sandbox.config.log_directory, config.log_path) ?? '';
  checkCounts(config);
  await checkLogDirectory(log);
  const bundle = await makeBundle(runtime, { id, sandbox, config, image, log }, rollback);
  return toContainer(wanted, image, { log, bundle, createdAt: birthIn(runtime, sandbox.config) });
};

const checkReady = (sandbox: Sandbox): void => {
  if (sandbox.record.state !== 'ready')
    throw new BerthError('failed-precondition', `pod sandbox ${sandbox.id} is ${sandbox.record.state}, not ready`);
};

const findImage = (runtime: Runtime, config: ContainerConfig): ImageRecord => {
  const name = config.image?.image ?? '';
  if (name === '') throw invalid('config.image.image is missing');
  checkHandler(runtime, 'config.image', config.image?.runtime_handler ?? '');
  const image = runtime.images.resolve(name);
  if (image === undefined) throw notFound(`image ${name} is not here: pull it first`);
  if (image.artifactType !== undefined)
    throw new BerthError(
      'failed-precondition',
      `image ${name} is an artifact of type ${image.artifactType}: it can be mounted as an image volume, but not run`,
    );
  return image;
};

const mostMounts = 4000;
const mostDevices = 4000;

/** Each takes a descriptor at the start, and a look at the host now. */
const checkCounts = ({ mounts, devices }: ContainerConfig): void => {
  if (mounts.length > mostMounts)
    throw invalid(`config.mounts: ${mounts.length} of them, at most ${mostMounts} are served`);
  if (devices.length > mostDevices)
    throw invalid(`config.devices: ${devices.length} of them, at most ${mostDevices} are served`);
};

/** Directories below log_directory are the caller's, as the kubelet makes them; here none is made where a guest may have put a link. */
const checkLogDirectory = async (log: string): Promise<void> => {
  if (log === '') return;
  const directory = dirname(log);
  const info = await lstat(directory).catch((error: unknown) => {
    throw new BerthError('failed-precondition', `log directory ${directory}: ${messageOf(error)}: make it first`);
  });
  if (!info.isDirectory()) throw new BerthError('failed-precondition', `log directory ${directory}: not a directory`);
};

interface Made {
  readonly log: string;
  readonly bundle: Bundle;
  readonly createdAt: string;
}

const toContainer = (
  { id, sandbox, config }: Wanted,
  image: ImageRecord,
  { log, bundle, createdAt }: Made,
): Container => ({
  id,
  key: containerKey(sandbox.id, config),
  config,
  user: bundle.user,
  record: {
    version: 1,
    id,
    sandboxId: sandbox.id,
    createdAt,
    config: toJson('ContainerConfig', config),
    imageId: image.id,
    ...imageNames(image, config.image),
    logPath: log,
    user: {
      uid: Number(bundle.user.uid),
      gid: Number(bundle.user.gid),
      groups: bundle.user.supplemental_groups.map(Number),
    },
    stopSignal: bundle.stopSignal,
    ...(bundle.resources && { resources: toJson('LinuxContainerResources', bundle.resources) }),
    cgroups: bundle.cgroups,
    mountImages: bundle.mountImages,
    state: { kind: 'created' },
  },
  supervisor: undefined,
  exited: Promise.withResolvers<void>(),
});
