import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { Client } from '../api/client.ts';
import { install, type ReleaseState, wireJson } from './fixtures/release.ts';
import { TestDaemon } from './harness/daemon.ts';
import { fails } from './harness/suite.ts';
import { sourceTree } from './harness/tree.ts';

const directory = join(sourceTree, 'critest/fixtures');
const releases = (await readdir(directory)).filter((name) => /^release-.*\.json$/.test(name));

const read = async (name: string): Promise<ReleaseState> =>
  JSON.parse(await readFile(join(directory, name), 'utf8')) as ReleaseState;

/** What is told anew after such a start; all else is as the old daemon has told it. */
const changing = new Set(['state', 'started_at', 'finished_at', 'exit_code', 'reason', 'message', 'network']);

type Fields = Readonly<Record<string, unknown>>;

/** Every field that the old release told, as it is now; fields that it did not know are left out. */
const sameFields = (old: unknown, now: unknown): unknown => {
  if (Array.isArray(old) && Array.isArray(now)) return now.map((one, at) => sameFields(old[at], one));
  if (typeof old !== 'object' || old === null || typeof now !== 'object' || now === null) return now;
  return Object.fromEntries(
    Object.keys(old).map((key) => [key, sameFields((old as Fields)[key], (now as Fields)[key])]),
  );
};

const withoutChanging = (fields: unknown): Fields =>
  Object.fromEntries(Object.entries(fields as Fields).filter(([key]) => !changing.has(key)));

/** The words of the world that the fixture was made in stand for those of this one. */
const answersIn = ({ answers, words }: ReleaseState, { world }: TestDaemon): ReleaseState['answers'] =>
  JSON.parse(
    JSON.stringify(answers).replaceAll(words.directory, world.path()).replaceAll(words.cgroup, world.cgroup),
  ) as ReleaseState['answers'];

const statusesOf = async (client: Client): Promise<readonly Fields[]> => {
  const ids = (await client.ListContainers({})).containers.map(({ id }) => id).toSorted();
  const answers = ids.map(async (id) => (await client.ContainerStatus({ container_id: id })).status);
  return wireJson(await Promise.all(answers)) as readonly Fields[];
};

/** How each container is found, whose machine was restarted meanwhile: its name, state, exit code and reason. */
const ends = [
  ['created', 'CONTAINER_CREATED', 0, ''],
  ['exited', 'CONTAINER_EXITED', 3, 'Error'],
  ['running', 'CONTAINER_EXITED', 137, 'Error'],
  ['stopped', 'CONTAINER_EXITED', 137, 'Error'],
  ['unseen', 'CONTAINER_EXITED', 7, 'Error'],
];

test('there is what a release has left', (t) => {
  t.true(releases.includes('release-0.1.json'));
});

for (const name of releases)
  test(`what ${name} has left on disk is read whole by this berthd, told as it was told, and can be removed`, async (t) => {
    const state = await read(name);
    await using daemon = await TestDaemon.prepare();
    await install(state, daemon.world);
    await daemon.boot();
    const { client } = daemon;
    const old = answersIn(state, daemon);
    const containers = await statusesOf(client);
    t.deepEqual(
      containers.map((one, at) => withoutChanging(sameFields(old.containers[at], one))),
      old.containers.map(withoutChanging),
    );
    t.deepEqual(
      containers
        .map(({ metadata, state: now, exit_code: code, reason }) => [(metadata as Fields).name, now, code, reason])
        .toSorted(),
      ends,
    );
    for (const pod of old.pods) {
      const { status } = await client.PodSandboxStatus({ pod_sandbox_id: String(pod.id) });
      t.is(status?.state, 'SANDBOX_NOTREADY');
      t.deepEqual(withoutChanging(sameFields(pod, wireJson(status))), withoutChanging(pod));
    }
    t.deepEqual(sameFields(old.images, wireJson((await client.ListImages({})).images)), old.images);
    const log = await daemon.log();
    t.notRegex(log, /is broken|later berthd|recovery of an object failed|not recorded/);
    const created = containers.find(({ state: now }) => now === 'CONTAINER_CREATED');
    const limits = { container_id: String(created?.id), linux: { cpu_shares: 256n } };
    await client.UpdateContainerResources(limits);
    await fails(t, client.StartContainer({ container_id: String(created?.id) }), 'failed-precondition', /not ready/);
    for (const { id } of old.pods) {
      await client.StopPodSandbox({ pod_sandbox_id: String(id) });
      await client.RemovePodSandbox({ pod_sandbox_id: String(id) });
    }
    for (const { id } of old.images) await client.RemoveImage({ image: { image: String(id) } });
    const { stdout } = await daemon.world.run('find', [
      ...['root/state', 'root/cni', 'root/images/layers', 'root/images/images', 'root/images/leases', 'ipam'].map(
        (one) => daemon.world.path(one),
      ),
      ...['state/containers', 'state/sandboxes'].map((one) => daemon.world.path(one)),
      ...['-type', 'f', '-not', '-name', 'lock', '-not', '-name', 'last_reserved*', '-not', '-path', '*/embedded/*'],
    ]);
    t.is(stdout, '');
  });
