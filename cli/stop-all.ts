import type { Client } from '../api/client.ts';
import type { Container } from '../api/generated/types.ts';
import { messageOf } from '../base/errors.ts';
import type { Output } from './context.ts';
import { listObjects } from './find.ts';

/** kubelet notes a pod's terminationGracePeriodSeconds on each of its containers. */
const graceAnnotation = 'io.kubernetes.pod.terminationGracePeriod';
const usualGrace = 30;
/** berth-pods.service has TimeoutStopSec=120. */
export const longestGrace = 90;

/** Seconds between the stop signal and the kill. */
export const graceOf = ({ annotations }: Pick<Container, 'annotations'>): number => {
  const text = annotations[graceAnnotation] ?? '';
  return Math.min(/^\d{1,9}$/.test(text) ? Number(text) : usualGrace, longestGrace);
};

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** Ends all containers at once, each within its own grace, then the pods' networks. One that fails keeps no other. */
export const stopAll = async (client: Client, grace: number | undefined, out: Output): Promise<number> => {
  const { pods, containers } = await listObjects(client);
  const running = containers.filter(({ state }) => state === 'CONTAINER_RUNNING');
  const ready = pods.filter(({ state }) => state === 'SANDBOX_READY');
  const stopped = await Promise.allSettled(
    running.map((one) => client.StopContainer({ container_id: one.id, timeout: grace ?? graceOf(one) })),
  );
  const ended = await Promise.allSettled(ready.map(({ id }) => client.StopPodSandbox({ pod_sandbox_id: id })));
  const failures = [...stopped, ...ended].flatMap((one) => (one.status === 'rejected' ? [messageOf(one.reason)] : []));
  for (const failure of failures) out.error(`berth stop: ${failure}\n`);
  out.write(`${counted(ready.length, 'pod')}, ${counted(running.length, 'container')} ended\n`);
  return failures.length === 0 ? 0 : 1;
};
