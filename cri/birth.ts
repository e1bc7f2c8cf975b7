import type { PodSandboxConfig } from '../api/generated/types.ts';
import { now, type Runtime } from './runtime.ts';
import { podKey } from './state/sandbox.ts';

type Things = Pick<Runtime, 'sandboxes' | 'containers'>;

/** The time of the latest birth of all: while the clock is past it, nobody's pod has to be looked at. */
const latest = new WeakMap<Things['sandboxes'], bigint>();

/**
 * When something of a pod is made, as kubelet is told: nanoseconds since 1970, later than all that the pod has. It takes the latest
 * sandbox, and the latest container of a name, for the one that counts. Were that one from before a clock was set back (a machine that
 * boots without the time), it would see an ended one, and make the pod anew for ever.
 */
export const birthIn = (things: Things, pod: PodSandboxConfig): string => {
  const time = now();
  const last = latest.get(things.sandboxes) ?? lastOf(things, () => true);
  const birth = time > last ? time : later(time, lastOf(things, ({ config }) => podKey(config) === podKey(pod)) + 1n);
  latest.set(things.sandboxes, later(birth, last));
  return String(birth);
};

const later = (one: bigint, other: bigint): bigint => (one < other ? other : one);

type Sandbox = ReturnType<Things['sandboxes']['values']>[number];

const lastOf = ({ sandboxes, containers }: Things, isMeant: (sandbox: Sandbox) => boolean): bigint => {
  const pods = sandboxes.values().filter(isMeant);
  const ids = new Set(pods.map(({ id }) => id));
  const inPods = containers.values().filter(({ record }) => ids.has(record.sandboxId));
  return [...pods, ...inPods].map(({ record }) => BigInt(record.createdAt)).reduce(later, 0n);
};
