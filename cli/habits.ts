/** What people type by habit of docker, nerdctl, podman and crictl, and what does it here. */
const habits: Readonly<Record<string, string>> = {
  build: 'Berth builds no images: build with buildah or docker, then berth load or berth pull',
  commit: 'Berth makes no images of containers',
  compose: 'Berth has no compose: pods come from kubelet, or one by one from berth run',
  container: 'containers are meant at once: berth ps, berth rm, berth logs, …',
  create: 'berth run makes and starts; crictl create does the first alone',
  df: 'it is berth system df',
  image: 'images are meant at once: berth images, berth pull, berth rmi, …',
  kill: 'it is berth stop --time 0',
  list: 'it is berth ps',
  login: 'give berth pull --user NAME --password-stdin, or set registry.docker_config (docs/registries.md)',
  ls: 'it is berth ps',
  network: "pod networks are CNI's (docs/network.md)",
  pod: 'it is berth ps',
  pods: 'it is berth ps',
  port: 'it is berth port-forward',
  prune: 'it is berth system prune',
  restart: 'an ended container does not start again: berth rm it and berth run another',
  start: 'an ended container does not start again: berth rm it and berth run another',
  stats: 'it is berth top',
  status: 'it is berth info',
  version: 'it is berth --version',
  volume: 'volumes belong to pods; there are none to be named here',
};

/** What to do instead of a verb that does not exist; undefined for a word of no known tool. */
export const habitOf = (name: string): string | undefined => (Object.hasOwn(habits, name) ? habits[name] : undefined);

const options: readonly (readonly [RegExp, string])[] = [
  [/^(?:-i|-t|--interactive|--tty)$/, 'run has no terminal: berth run -d, then berth exec -it'],
  [/^(?:-p|-P|--publish|--publish-all)$/, 'ports are brought here by berth port-forward'],
  [/^(?:-v|--volume|--mount|--tmpfs)$/, 'run mounts nothing: use crictl create, or a pod of kubelet'],
  [/^(?:-m|--memory|--cpus)$/, 'limits are set by berth update'],
];

/** The same for an option of `run`. */
export const optionHabitOf = (option: string): string | undefined =>
  options.find(([pattern]) => pattern.test(option))?.[1];
