import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../../api/client.ts';
import { makeDirectory } from '../../base/files.ts';
import { containerConfig, type PodRequest, podConfig } from '../configs.ts';
import type { Output } from '../context.ts';
import { listObjects } from '../find.ts';
import { size } from '../format.ts';
import { readLog } from '../log-reader.ts';
import { statusOf } from '../pods.ts';
import { pullImage } from '../pulling.ts';
import { psTable } from '../verbs/ps.ts';
import type { Place } from './place.ts';
import { memoryInWords, ownProcesses } from './processes.ts';
import type { Steps } from './steps.ts';

const build = join(import.meta.dirname, '../..');
const port = '8080';
/** Its name in build/quickstart-image. */
const shipped = 'localhost/berth/hello:1';
/** Where the program is in an image that is not our own: a static file that is mounted in. */
const mounted = '/berth-hello';

export interface Scene {
  readonly place: Place;
  readonly client: Client;
  readonly steps: Steps;
  readonly out: Output;
  readonly signal: AbortSignal;
  /** Fetched instead of the image that ships with Berth. */
  readonly image: string | undefined;
}

interface Pod {
  readonly id: string;
  readonly config: PodRequest;
}

/** Runs the pod and shows it; everything in it is removed when this returns. */
export const tellStory = async (scene: Scene): Promise<void> => {
  const { client, steps, place } = scene;
  const image = await getImage(scene);
  const before = await ownProcesses(place);
  const pod = await steps.run(
    'run a pod with a network of its own',
    () => runPod(scene),
    ({ address }) => address,
  );
  const server = await runContainer(scene, pod, image, 'server', ['serve', port]);
  const asker = await runContainer(scene, pod, image, 'asker', ['ask', port]);
  const line = await steps.run('wait until they talk over localhost', () => logLine(client, asker, /^got: /));
  steps.say(`\n${psTable(await listObjects(client), true)}`);
  steps.say(`  last line of asker's log:  ${line}`);
  await execAsk(scene, asker);
  steps.say(`  memory that the pod costs: ${memoryInWords(before, await ownProcesses(place))} (PSS)\n`);
  await takeDown(scene, pod, [server, asker]);
};

const getImage = async ({ client, steps, image, out, signal, place }: Scene): Promise<string> => {
  if (image !== undefined) {
    steps.say(`  pull ${image}`);
    return steps.run(
      'pull the image',
      () => pullImage({ image }, { client, out, signal, address: place.address, logRoot: place.logs }),
      (id) => id.slice(0, 19),
    );
  }
  const path = join(build, 'quickstart-image');
  const { image_ids: ids } = await steps.run('import the image that ships with Berth', () => client.Import({ path }));
  return ids[0] ?? '';
};

const runPod = async ({ client, place }: Scene): Promise<Pod & { readonly address: string }> => {
  const config = podConfig({ name: 'quickstart', logRoot: place.logs });
  await makeDirectory(config.log_directory);
  const { pod_sandbox_id: id } = await client.RunPodSandbox({ config });
  const { status } = await client.PodSandboxStatus({ pod_sandbox_id: id });
  return { id, config, address: status?.network?.ip ?? '' };
};

const runContainer = (
  { client, steps, image: given }: Scene,
  pod: Pod,
  image: string,
  name: string,
  args: readonly string[],
): Promise<string> =>
  steps.run(`create and start container ${name}`, async () => {
    const own = containerConfig({ name, image, imageName: given ?? shipped, args });
    const mount = { host_path: join(build, 'cli/quickstart/hello'), container_path: mounted, readonly: true };
    const config = given === undefined ? own : { ...own, command: [mounted], mounts: [mount] };
    const { container_id: id } = await client.CreateContainer({
      pod_sandbox_id: pod.id,
      config,
      sandbox_config: pod.config,
    });
    await client.StartContainer({ container_id: id });
    return id;
  });

/** The newest line of the log that matches; waits ten seconds for the first. */
const logLine = async (client: Client, containerId: string, pattern: RegExp): Promise<string> => {
  const path = (await statusOf(client, containerId)).log_path;
  for (let turn = 0; turn < 500; turn += 1) {
    let found: string | undefined;
    for await (const { text } of readLog(path)) if (pattern.test(text.toString())) found = text.toString();
    if (found !== undefined) return found;
    await sleep(20);
  }
  throw new Error(`no line of ${path} matches ${pattern}`);
};

const execAsk = ({ client, steps, image }: Scene, containerId: string): Promise<unknown> =>
  steps.run(
    'exec in asker: ask once more',
    async () => {
      const cmd = [image === undefined ? '/hello' : mounted, 'ask', port, '1'];
      const {
        stdout,
        stderr,
        exit_code: code,
      } = await client.ExecSync({ container_id: containerId, cmd, timeout: 10 });
      if (code !== 0) throw new Error(`exec ended with ${code}: ${Buffer.from(stderr)}`);
      return Buffer.from(stdout).toString().trim();
    },
    (text) => text,
  );

const takeDown = async ({ client, steps }: Scene, pod: Pod, containers: readonly string[]): Promise<void> => {
  await steps.run('stop both containers', () =>
    Promise.all(containers.map((id) => client.StopContainer({ container_id: id, timeout: 5 }))),
  );
  await steps.run('remove both containers', () =>
    Promise.all(containers.map((id) => client.RemoveContainer({ container_id: id }))),
  );
  await steps.run('stop and remove the pod', async () => {
    await client.StopPodSandbox({ pod_sandbox_id: pod.id });
    await client.RemovePodSandbox({ pod_sandbox_id: pod.id });
  });
  await steps.run(
    'remove the image',
    async () => {
      const { images } = await client.ListImages({});
      const total = images.reduce((sum, { size: bytes }) => sum + bytes, 0n);
      for (const { id } of images) await client.RemoveImage({ image: { image: id } });
      return total;
    },
    (total) => size(total),
  );
};
