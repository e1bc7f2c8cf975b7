import { randomBytes } from 'node:crypto';
import { BerthError, messageOf } from '../../base/errors.ts';
import { makeDirectory, removeTree } from '../../base/files.ts';
import { parseHead } from '../arguments.ts';
import { containerConfig, type PodRequest, podConfig, podNamespace } from '../configs.ts';
import { type Context, UsageError, type Verb } from '../context.ts';
import { shortId } from '../format.ts';
import { optionHabitOf } from '../habits.ts';
import { removePod } from '../pods.ts';
import { pullImage } from '../pulling.ts';
import { showLog, waitForExit } from '../running.ts';

const graceSeconds = 10;

interface Wish {
  readonly image: string;
  readonly command: readonly string[];
  readonly name: string;
  readonly env: readonly string[];
  readonly remove: boolean;
  readonly detach: boolean;
}

const words = (argv: readonly string[]) => {
  try {
    return parseHead(argv, {
      rm: { type: 'boolean', default: false },
      detach: { type: 'boolean', short: 'd', default: false },
      name: { type: 'string' },
      env: { type: 'string', short: 'e', multiple: true, default: [] },
    });
  } catch (error) {
    const message = messageOf(error);
    const hint = optionHabitOf(/^Unknown option '(\S+)'/.exec(message)?.[1] ?? '');
    throw hint === undefined ? error : new UsageError(`${message}: ${hint}`);
  }
};

const read = (argv: readonly string[]): Wish => {
  const { values, rest } = words(argv);
  const [image, ...command] = rest;
  if (image === undefined) throw new UsageError('wants an image');
  const name = values.name ?? `run-${randomBytes(4).toString('hex')}`;
  if (!/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(name))
    throw new UsageError(`--name: wants small letters, digits, "-" and "." (63 at most), not ${JSON.stringify(name)}`);
  for (const entry of values.env)
    if (!/^[^=]+=/.test(entry)) throw new UsageError(`--env: wants NAME=VALUE, not ${JSON.stringify(entry)}`);
  if (values.detach && values.rm)
    throw new UsageError('--detach and --rm do not go together: nobody would be there to remove it');
  return { image, command, name, env: values.env, remove: values.rm, detach: values.detach };
};

/** The image's id; one that is not here is fetched first. */
const imageId = async (image: string, context: Context): Promise<string> => {
  const { image: found } = await context.client.ImageStatus({ image: { image } });
  return found?.id ?? pullImage({ image }, { ...context, out: { ...context.out, write: context.out.error } });
};

interface Started {
  readonly podId: string;
  readonly containerId: string;
  readonly logs: string;
}

/** Two pods of one name could only be told apart by their ids. */
const refuseTwice = async (name: string, client: Context['client']): Promise<void> => {
  const { items } = await client.ListPodSandbox({});
  const there = items.find(({ metadata }) => metadata?.name === name && metadata.namespace === podNamespace);
  if (there === undefined) return;
  const what = `pod ${name} is there already (${shortId(there.id)})`;
  throw new BerthError('already-exists', `${what}: berth rm it first, or give another --name`);
};

/** Pod and running container, or nothing of them. */
const start = async (wish: Wish, image: string, { client, logRoot }: Context): Promise<Started> => {
  const config = podConfig({ name: wish.name, logRoot });
  await makeDirectory(config.log_directory, 0o700);
  try {
    const { pod_sandbox_id: podId } = await client.RunPodSandbox({ config });
    try {
      return {
        podId,
        logs: config.log_directory,
        containerId: await startContainer(wish, image, podId, config, client),
      };
    } catch (error) {
      await removePod(client, { id: podId, labels: {} });
      throw error;
    }
  } catch (error) {
    await removeTree(config.log_directory);
    throw error;
  }
};

const startContainer = async (
  wish: Wish,
  image: string,
  podId: string,
  pod: PodRequest,
  client: Context['client'],
): Promise<string> => {
  const config = containerConfig({ name: 'main', image, imageName: wish.image, args: wish.command, env: wish.env });
  const { container_id: id } = await client.CreateContainer({ pod_sandbox_id: podId, config, sandbox_config: pod });
  await client.StartContainer({ container_id: id });
  return id;
};

/** Shows the log to its end; a first Ctrl-C stops the container, and the rest of its log is still shown. */
const follow = async ({ containerId }: Started, { client, out, signal }: Context): Promise<number> => {
  const stop = (): void => {
    client
      .StopContainer({ container_id: containerId, timeout: graceSeconds })
      .catch((error: unknown) => out.error(`berth: stop: ${error}\n`));
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  await showLog(client, containerId, out);
  const { exit_code: code, reason } = await waitForExit(client, containerId);
  signal.removeEventListener('abort', stop);
  if (reason === 'OOMKilled') out.error('berth: the container was killed: out of memory\n');
  return code;
};

const remove = async ({ podId, logs }: Started, { client }: Context): Promise<void> => {
  await removePod(client, { id: podId, labels: {} });
  await removeTree(logs);
};

export const run: Verb = {
  name: 'run',
  usage: '[--rm] [--detach] [--name NAME] [--env NAME=VALUE]… IMAGE [ARGUMENT…]',
  summary: 'make a pod with one container, follow its log, end with its exit code',
  options: [
    ['--rm', 'remove pod and log when the container has ended'],
    ['-d, --detach', "print the container's id and do not wait"],
    ['--name NAME', "the pod's name (default: run- and eight letters)"],
    ['-e, --env NAME=VALUE', 'an environment variable; may come several times'],
  ],
  run: async (argv, context) => {
    const wish = read(argv);
    await refuseTwice(wish.name, context.client);
    const image = await imageId(wish.image, context);
    const started = await start(wish, image, context);
    if (wish.detach) {
      context.out.write(`${started.containerId}\n`);
      return 0;
    }
    try {
      return await follow(started, context);
    } finally {
      if (wish.remove) await remove(started, context);
    }
  },
};
