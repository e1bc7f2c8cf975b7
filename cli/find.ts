import type { Client } from '../api/client.ts';
import type { Container, PodSandbox } from '../api/generated/types.ts';
import { BerthError, notFound } from '../base/errors.ts';
import { shortId } from './format.ts';

export interface Objects {
  readonly pods: readonly PodSandbox[];
  readonly containers: readonly Container[];
}

export const listObjects = async (client: Client): Promise<Objects> => {
  const [pods, containers] = await Promise.all([client.ListPodSandbox({}), client.ListContainers({})]);
  return { pods: pods.items, containers: containers.containers };
};

export type Target =
  | { readonly kind: 'pod'; readonly pod: PodSandbox }
  | { readonly kind: 'container'; readonly container: Container };

const podNamed = (word: string) => (pod: PodSandbox) => {
  const { name, namespace } = pod.metadata ?? { name: '', namespace: '' };
  return name === word || `${namespace}/${name}` === word;
};

/** By full id, by name (`pod`, `namespace/pod`, `container`, `pod/container`), or by the first letters of an id. */
export const findTarget = ({ pods, containers }: Objects, word: string): Target => {
  const podOf = (container: Container) => pods.find(({ id }) => id === container.pod_sandbox_id)?.metadata?.name ?? '';
  const named = (container: Container): boolean => {
    const name = container.metadata?.name ?? '';
    return name === word || `${podOf(container)}/${name}` === word;
  };
  const ways: readonly Target[][] = [
    [
      ...pods.filter(({ id }) => id === word).map(asPod),
      ...containers.filter(({ id }) => id === word).map(asContainer),
    ],
    [...pods.filter(podNamed(word)).map(asPod), ...containers.filter(named).map(asContainer)],
    [...pods.filter(starts(word)).map(asPod), ...containers.filter(starts(word)).map(asContainer)],
  ];
  const found = ways.find((targets) => targets.length > 0);
  if (found === undefined) throw notFound(`there is no pod or container ${JSON.stringify(word)}; see berth ps --all`);
  return only(found, word);
};

const asPod = (pod: PodSandbox): Target => ({ kind: 'pod', pod });
const asContainer = (container: Container): Target => ({ kind: 'container', container });
const starts =
  (word: string) =>
  ({ id }: { readonly id: string }) =>
    /^[0-9a-f]{3,64}$/.test(word) && id.startsWith(word);

const only = (found: readonly Target[], word: string): Target => {
  const [first, second] = found;
  if (first !== undefined && second === undefined) return first;
  const list = found.map(
    (target) => `${target.kind} ${shortId(target.kind === 'pod' ? target.pod.id : target.container.id)}`,
  );
  throw new BerthError(
    'invalid-argument',
    `${JSON.stringify(word)} could be ${list.slice(0, 5).join(', ')}: use an id`,
  );
};

/** The container that is meant: itself, or the only one of the pod (its running one, if there are ended ones beside). */
export const findContainer = (objects: Objects, word: string): Container => {
  const target = findTarget(objects, word);
  if (target.kind === 'container') return target.container;
  const all = objects.containers.filter((container) => container.pod_sandbox_id === target.pod.id);
  const running = all.filter(({ state }) => state === 'CONTAINER_RUNNING');
  const [first, second] = running.length > 0 ? running : all;
  if (first !== undefined && second === undefined) return first;
  const names = all.map(({ metadata }) => `${target.pod.metadata?.name}/${metadata?.name}`);
  throw new BerthError(
    'invalid-argument',
    all.length === 0 ? `pod ${word} has no container` : `pod ${word} has several containers: say ${names.join(' or ')}`,
  );
};
