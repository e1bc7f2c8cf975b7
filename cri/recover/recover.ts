import { setTimeout } from 'node:timers/promises';
import { fromJson } from '../../api/json.ts';
import { messageOf } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';
import { type Container, type ContainerRecord, containerKey } from '../state/container.ts';
import { type Sandbox, type SandboxRecord, sandboxKey } from '../state/sandbox.ts';
import { recoverContainer } from './container.ts';
import { recoverSandbox, undoSandbox } from './sandbox.ts';
import { removeStrays } from './strays.ts';

/** Objects that are settled, or have used up their time, of all that were found. */
export interface RecoveryProgress {
  done: number;
  total: number;
}

/**
 * Makes memory and machine agree after a start: what was being made is undone, what was being ended is ended, what runs
 * is followed again. The files are the intent, the kernel is the truth. All objects side by side.
 */
export const recover = async (runtime: Runtime, progress: RecoveryProgress = { done: 0, total: 0 }): Promise<void> => {
  const started = performance.now();
  const [sandboxes, all] = await Promise.all([runtime.sandboxStore.load(), runtime.containerStore.load()]);
  const left = leftAlone(runtime, all);
  const containers = all.filter(({ id }) => !left.has(id));
  const halfMade = sandboxes.filter(({ state }) => state === 'creating').map(toSandbox);
  const whole = sandboxes.filter(({ state }) => state !== 'creating').map(toSandbox);
  for (const sandbox of whole) runtime.sandboxes.add(sandbox);
  for (const record of containers) runtime.containers.add(toContainer(record));
  progress.total = sandboxes.length + containers.length;
  await runtime.network.recover();
  const each = eachCounted(runtime, progress);
  await each(runtime.containers.values(), recoverContainer);
  await Promise.all([each(halfMade, undoSandbox), each(whole, recoverSandbox)]);
  await removeStrays(runtime, new Set(sandboxes.map(({ id }) => id)), left);
  await runtime.images.collect();
  const milliseconds = Math.round(performance.now() - started);
  runtime.log.info(
    { sandboxes: whole.length, undone: halfMade.length, containers: containers.length, milliseconds },
    'recovered',
  );
};

/** What only a later berthd knows, and the containers of its sandboxes: they run on, and nothing of theirs is touched. */
const leftAlone = (
  { sandboxStore, containerStore, log }: Runtime,
  containers: readonly ContainerRecord[],
): ReadonlySet<string> => {
  const [pods, own] = [sandboxStore.later, containerStore.later];
  const theirs = containers.filter(({ sandboxId }) => pods.has(sandboxId)).map(({ id }) => id);
  if (pods.size + own.size > 0)
    log.error(
      { pods: pods.size, containers: own.size + theirs.length },
      'pods of a later berthd are here: they are left alone and not shown; install that berthd again to have them back',
    );
  return new Set([...pods, ...own, ...theirs]);
};

/** So long the daemon's start waits for one object; it then goes on in the background (lesson A22). */
const limitMs = 2000;

/** One object that cannot be recovered is told in the log and does not stop the others, nor does one that takes long. */
const eachCounted =
  (runtime: Runtime, progress: RecoveryProgress) =>
  async <T extends { readonly id: string }>(
    objects: readonly T[],
    action: (runtime: Runtime, object: T) => Promise<void>,
  ): Promise<void> => {
    const one = async (object: T): Promise<void> => {
      try {
        await action(runtime, object);
      } catch (error) {
        runtime.log.error({ id: object.id, error: messageOf(error) }, 'recovery of an object failed');
      }
    };
    const limited = async (object: T): Promise<void> => {
      await Promise.race([one(object), setTimeout(limitMs, undefined, { ref: false })]);
      progress.done += 1;
    };
    await Promise.all(objects.map(limited));
  };

const toSandbox = (record: SandboxRecord): Sandbox => {
  const config = fromJson('PodSandboxConfig', record.config);
  return { id: record.id, key: sandboxKey(config), config, record };
};

const toContainer = (record: ContainerRecord): Container => {
  const config = fromJson('ContainerConfig', record.config);
  const { uid, gid, groups } = record.user;
  const exited = Promise.withResolvers<void>();
  if (record.state.kind === 'exited') exited.resolve();
  return {
    id: record.id,
    key: containerKey(record.sandboxId, config),
    config,
    user: { uid: BigInt(uid), gid: BigInt(gid), supplemental_groups: groups.map(BigInt) },
    record,
    supervisor: undefined,
    exited,
  };
};
