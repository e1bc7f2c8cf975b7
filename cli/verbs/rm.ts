import type { Client } from '../../api/client.ts';
import { BerthError } from '../../base/errors.ts';
import { parse } from '../arguments.ts';
import { madeByLabel } from '../configs.ts';
import { UsageError, type Verb } from '../context.ts';
import { findTarget, listObjects, type Objects, type Target } from '../find.ts';
import { removePod } from '../pods.ts';

/** `berth run` makes a pod for one container: who removes the container means both. */
const widened = ({ pods }: Objects, target: Target): Target => {
  if (target.kind === 'pod') return target;
  const pod = pods.find(({ id }) => id === target.container.pod_sandbox_id);
  return pod?.labels[madeByLabel] === 'berth' ? { kind: 'pod', pod } : target;
};

const runningIn = ({ containers }: Objects, target: Target): boolean =>
  containers.some(
    (container) =>
      container.state === 'CONTAINER_RUNNING' &&
      (target.kind === 'pod' ? container.pod_sandbox_id === target.pod.id : container.id === target.container.id),
  );

const remove = (client: Client, target: Target): Promise<unknown> =>
  target.kind === 'pod' ? removePod(client, target.pod) : client.RemoveContainer({ container_id: target.container.id });

export const rm: Verb = {
  name: 'rm',
  usage: '[--force] POD|CONTAINER…',
  summary: 'remove pods or containers, and the logs of `berth run`',
  options: [['-f, --force', 'also what is running']],
  run: async (argv, { client, out }) => {
    const { values, positionals } = parse(argv, { force: { type: 'boolean', short: 'f', default: false } });
    if (positionals.length === 0) throw new UsageError('wants a pod or a container');
    const objects = await listObjects(client);
    const targets = positionals.map((word) => [word, widened(objects, findTarget(objects, word))] as const);
    const busy = targets.find(([, target]) => !values.force && runningIn(objects, target));
    if (busy !== undefined)
      throw new BerthError('failed-precondition', `${busy[0]} is running: stop it first, or use --force`);
    for (const [word, target] of targets) {
      await remove(client, target);
      out.write(`${word}\n`);
    }
    return 0;
  },
};
