import type { Container, PodSandbox } from '../../api/generated/types.ts';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { listObjects, type Objects } from '../find.ts';
import { age, plain, shortId, table } from '../format.ts';
import { toPlainJson } from '../json.ts';

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

/** What has not ended, the newest container first: containers, their pods, and pods that have no container. With `all` everything. */
const shownOf = ({ pods, containers }: Objects, all: boolean): Objects => {
  const some = containers
    .filter(({ state }) => all || state === 'CONTAINER_RUNNING' || state === 'CONTAINER_CREATED')
    .toSorted((a, b) => (a.created_at < b.created_at ? 1 : -1));
  const used = new Set(some.map(({ pod_sandbox_id: id }) => id));
  const filled = new Set(containers.map(({ pod_sandbox_id: id }) => id));
  const open = (pod: PodSandbox): boolean => all || (pod.state === 'SANDBOX_READY' && !filled.has(pod.id));
  return { containers: some, pods: pods.filter((pod) => used.has(pod.id) || open(pod)) };
};

/** Containers with their pods; pods without a container have a row of their own. */
export const psTable = (objects: Objects, all: boolean): string => tableOf(shownOf(objects, all));

const tableOf = ({ pods, containers }: Objects): string => {
  const empty = pods.filter((pod) => !containers.some(({ pod_sandbox_id: id }) => id === pod.id));
  const rows = containers.map((container) =>
    containerRow(
      container,
      pods.find(({ id }) => id === container.pod_sandbox_id),
    ),
  );
  return table(['CONTAINER', 'NAME', 'POD', 'NAMESPACE', 'IMAGE', 'STATE', 'AGE'], [...rows, ...empty.map(podRow)]);
};

export const ps: Verb = {
  name: 'ps',
  usage: '[--all] [--quiet | --json]',
  summary: 'list containers and their pods',
  options: [
    ['-a, --all', 'also those that have ended'],
    ['-q, --quiet', 'whole ids of the containers alone'],
    ['--json', "pods and containers as CRI's lists tell them"],
  ],
  run: async (argv, { client, out }) => {
    const { values } = parse(argv, {
      all: { type: 'boolean', short: 'a', default: false },
      quiet: { type: 'boolean', short: 'q', default: false },
      json: { type: 'boolean', default: false },
    });
    if (values.quiet && values.json) throw new UsageError('--quiet and --json exclude each other');
    const shown = shownOf(await listObjects(client), values.all);
    if (values.json) out.write(`${JSON.stringify(toPlainJson(shown), undefined, 2)}\n`);
    else if (values.quiet) out.write(shown.containers.map(({ id }) => `${id}\n`).join(''));
    else out.write(tableOf(shown));
    return 0;
  },
};
