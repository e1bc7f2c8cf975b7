import type { Container, PodSandbox } from '../../api/generated/types.ts';
import { parse } from '../arguments.ts';
import type { Verb } from '../context.ts';
import { listObjects, type Objects } from '../find.ts';
import { age, plain, shortId, table } from '../format.ts';

const states = {
  CONTAINER_CREATED: 'created',
  CONTAINER_RUNNING: 'running',
  CONTAINER_EXITED: 'exited',
  CONTAINER_UNKNOWN: 'unknown',
} as const;

const podRow = (pod: PodSandbox): string[] => {
  const { name = '', namespace = '' } = pod.metadata ?? {};
  return [
    '-',
    '-',
    plain(name),
    plain(namespace),
    '-',
    pod.state === 'SANDBOX_READY' ? 'ready' : 'not ready',
    age(pod.created_at),
  ];
};

const containerRow = (container: Container, pod: PodSandbox | undefined): string[] => {
  const { name = '?', namespace = '?' } = pod?.metadata ?? {};
  const image = container.image?.user_specified_image || container.image?.image || container.image_ref;
  return [
    shortId(container.id),
    plain(container.metadata?.name ?? ''),
    plain(name),
    plain(namespace),
    /^(sha256:)?[0-9a-f]{64}$/.test(image) ? shortId(image) : plain(image),
    states[container.state],
    age(container.created_at),
  ];
};

/** Containers with their pods; pods without a container have a row of their own. */
export const psTable = ({ pods, containers }: Objects, all: boolean): string => {
  const shown = containers.filter(({ state }) => all || state === 'CONTAINER_RUNNING' || state === 'CONTAINER_CREATED');
  const empty = pods
    .filter((pod) => !containers.some(({ pod_sandbox_id: id }) => id === pod.id))
    .filter(({ state }) => all || state === 'SANDBOX_READY');
  const rows = shown
    .toSorted((a, b) => (a.created_at < b.created_at ? 1 : -1))
    .map((container) =>
      containerRow(
        container,
        pods.find(({ id }) => id === container.pod_sandbox_id),
      ),
    );
  return table(['CONTAINER', 'NAME', 'POD', 'NAMESPACE', 'IMAGE', 'STATE', 'AGE'], [...rows, ...empty.map(podRow)]);
};

export const ps: Verb = {
  name: 'ps',
  usage: '[--all]',
  summary: 'list containers and their pods',
  options: [['-a, --all', 'also those that have ended']],
  run: async (argv, { client, out }) => {
    const { values } = parse(argv, { all: { type: 'boolean', short: 'a', default: false } });
    out.write(psTable(await listObjects(client), values.all));
    return 0;
  },
};
