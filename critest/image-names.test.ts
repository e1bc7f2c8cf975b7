// Names of images and what is told of them, over the socket and by the verbs of berth.
import { join } from 'node:path';
import test from 'ava';
import type { Image } from '../api/generated/types.ts';
import { artifact } from './harness/artifact.ts';
import { TestDaemon } from './harness/daemon.ts';
import { image, layer } from './harness/image.ts';
import { names } from './harness/images.ts';
import { startTestRegistry, type TestRegistry } from './harness/own-registry.ts';
import { idle, runPod, type TestPod } from './harness/pods.ts';
import { fails, removePods } from './harness/suite.ts';
import { sourceTree } from './harness/tree.ts';

// The registries are in this process, so the daemon is in the machine's network.
let daemon: TestDaemon;
let registry: TestRegistry;
let other: TestRegistry;

const made = image([layer([{ name: 'a', data: 'x'.repeat(3000) }]), layer([{ name: 'b', data: 'y' }])], {
  Env: ['A=b'],
});
const second = image([layer([{ name: 'second', data: 'z' }])], {});

test.before('berthd and two registries', async () => {
  [registry, other] = await Promise.all([startTestRegistry(), startTestRegistry()]);
  registry.add('1', made);
  registry.add('2', made);
  registry.add('1', made, 'b/c');
  other.add('9', made, 'd');
  other.add('1', second, 'second');
  daemon = await TestDaemon.start({
    network: 'none',
    hostNetwork: true,
    images: [],
    config: {
      registry: { plain_http: ['127.0.0.1'] },
      images: { pinned: [`${other.host}/*`, `${registry.host}/app:2`] },
    },
  });
});

test.afterEach.always(async () => {
  for (const { id } of await list()) await remove(id);
});

test.after.always(async () => {
  await removePods(daemon);
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  await other?.[Symbol.asyncDispose]();
});

const hostPod = (): Promise<TestPod> =>
  runPod(daemon, { linux: { security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } } } });
const list = async (): Promise<readonly Image[]> => (await daemon.client.ListImages({})).images;
const pull = async (name: string): Promise<string> =>
  (await daemon.client.PullImage({ image: { image: name } })).image_ref;
const remove = (name: string): Promise<unknown> => daemon.client.RemoveImage({ image: { image: name } });
const berth = (...args: string[]) =>
  daemon.world.run(join(sourceTree, 'bin/berth'), ['--address', daemon.address, ...args], '');
const here = (rest: string): string => `${registry.host}/${rest}`;
const there = (rest: string): string => `${other.host}/${rest}`;
const digest = made.manifest.digest;
const everyName = () => [here('app:1'), here('app:2'), here('b/c:1'), there('d:9')];

test.serial('an image of many names from two registries is one image, with all of them, under one id', async (t) => {
  for (const name of everyName()) t.is(await pull(name), made.id);
  const [told, ...more] = await list();
  t.deepEqual(more, []);
  t.deepEqual(told?.repo_tags.toSorted(), everyName().toSorted());
  const digests = [here('app'), here('b/c'), there('d')].map((name) => `${name}@${digest}`);
  t.deepEqual(told?.repo_digests.toSorted(), digests.toSorted());
  for (const name of [...everyName(), ...digests, made.id, made.id.slice(7), made.id.slice(7, 20)])
    t.deepEqual((await daemon.client.ImageStatus({ image: { image: name } })).image, told, name);
});

test.serial('RemoveImage by any one of its names removes all of them, and again is no error', async (t) => {
  const ways = [here('app:1'), `${there('d')}@${digest}`, `${here('app')}:other@${digest}`, made.id, made.id.slice(7)];
  for (const way of ways) {
    for (const name of [here('app:1'), there('d:9')]) await pull(name);
    await remove(way);
    t.deepEqual(await list(), [], way);
    await remove(way);
  }
});

test.serial(
  'RemoveImage refuses nothing that a kubelet could hold, and removes nothing that is not meant',
  async (t) => {
    await pull(here('app:1'));
    const unknown = [`${here('app')}@sha256:${'0'.repeat(64)}`, `sha256:${'0'.repeat(64)}`, '0'.repeat(64), 'nothing'];
    for (const name of [...unknown, here('app:3'), 'Not/A/Name', `${here('app')}@md5:1`, ' ']) await remove(name);
    t.is((await list()).length, 1);
  },
);

test.serial(
  'images that the configuration names are pinned under any name, and can still be removed by hand',
  async (t) => {
    const pinned = async (...names: string[]): Promise<boolean | undefined> => {
      for (const name of names) await pull(name);
      const [told] = await list();
      await remove(told?.id ?? '');
      return told?.pinned;
    };
    t.is(await pinned(here('app:1')), false);
    t.is(await pinned(here('app:2')), true);
    t.is(await pinned(`${here('app')}@${digest}`), false);
    t.is(await pinned(`${there('d')}@${digest}`), true);
    t.is(await pinned(here('app:1'), there('d:9')), true);
    t.deepEqual(await list(), []);
  },
);

test.serial('a tag given here is a name like any other, and moves', async (t) => {
  const { client } = daemon;
  await pull(here('app:1'));
  t.is((await client.Tag({ source: here('app:1'), target: 'mine' })).name, 'docker.io/library/mine:latest');
  const [told] = await list();
  t.deepEqual(told?.repo_tags, [here('app:1'), 'docker.io/library/mine:latest']);
  t.deepEqual(told?.repo_digests, [`${here('app')}@${digest}`], 'no registry has it by that name');
  await pull(there('second:1'));
  await client.Tag({ source: second.id.slice(7, 19), target: 'mine:latest' });
  t.is((await client.ImageStatus({ image: { image: 'mine' } })).image?.id, second.id);
  t.deepEqual((await client.ImageStatus({ image: { image: made.id } })).image?.repo_tags, [here('app:1')]);
  await fails(t, client.Tag({ source: 'nothing', target: 'a' }), 'not-found', /no such image/);
  await fails(t, client.Tag({ source: made.id, target: 'A' }), 'invalid-argument', /lower case/);
  await fails(t, client.Tag({ source: made.id, target: `a@${digest}` }), 'invalid-argument', /digest is not given/);
  await fails(t, client.Tag({ source: '', target: 'a' }), 'invalid-argument', /source is empty/);
});

test.serial('a tag that moves away from an image without another name takes the image with it', async (t) => {
  const { client } = daemon;
  await pull(here('app:1'));
  await pull(there('second:1'));
  await client.Tag({ source: made.id, target: 'mine' });
  await client.Untag({ image: here('app:1') });
  t.is((await list()).length, 2);
  await client.Tag({ source: second.id, target: 'mine' });
  t.deepEqual(
    (await list()).map(({ id }) => id),
    [second.id],
  );
});

test.serial('Untag takes a tag alone, with the last of a repository its digests, and by id everything', async (t) => {
  const { client } = daemon;
  for (const name of everyName()) await pull(name);
  t.deepEqual(await client.Untag({ image: here('app:1') }), {
    names: [here('app:1')],
    image_id: made.id,
    removed: false,
  });
  const { names } = await client.Untag({ image: here('app:2') });
  t.deepEqual(names, [here('app:2'), `${here('app')}@${digest}`]);
  t.deepEqual((await client.Untag({ image: `${there('d')}@${digest}` })).names, [`${there('d')}@${digest}`]);
  t.deepEqual((await list())[0]?.repo_tags.toSorted(), [here('b/c:1'), there('d:9')].toSorted());
  const last = await client.Untag({ image: made.id });
  t.deepEqual([last.names.length, last.removed], [3, true]);
  t.deepEqual(await list(), []);
  await fails(t, client.Untag({ image: made.id }), 'not-found', /no such image/);
});

test.serial('berth images, tag, inspect, history and rmi', async (t) => {
  await pull(here('app:1'));
  t.regex((await berth('tag', here('app:1'), 'mine:2')).stdout, /^docker.io\/library\/mine:2\n$/);
  const short = made.id.slice(7, 19);
  const [digests, quiet, json, inspected, history] = await Promise.all([
    berth('images', '--digests'),
    berth('images', '-q'),
    berth('images', '--json', 'mine:2'),
    berth('inspect', 'mine:2'),
    berth('history', 'mine:2'),
  ]);
  const rows = digests.stdout
    .trimEnd()
    .split('\n')
    .map((row) => row.split(/ {2,}/).slice(0, 3));
  const expected = [
    [here('app:1'), digest, short],
    ['docker.io/library/mine:2', '-', short],
  ];
  t.deepEqual(rows, [['IMAGE', 'DIGEST', 'ID'], ...expected]);
  t.is(quiet.stdout, `${made.id}\n`);
  t.like(JSON.parse(json.stdout), [{ id: made.id, uid: { value: 0 } }]);
  const told = JSON.parse(inspected.stdout);
  t.like(told, { image_id: made.id, manifest_digest: digest, pinned: false, config: { config: { Env: ['A=b'] } } });
  t.deepEqual(told.manifest, JSON.parse(made.blobs.get(digest)?.toString() ?? ''));
  t.deepEqual(
    told.names.map(({ target }: { target: string }) => target),
    [digest, digest, digest],
  );
  const lines = history.stdout.trimEnd().split('\n');
  t.deepEqual([lines.length, lines[0]?.split(/ +/, 3)], [3, ['LAYER', 'CREATED', 'SIZE']]);
  t.is((await berth('rmi', 'mine:2')).stdout, 'untagged docker.io/library/mine:2\n');
  t.regex((await berth('rmi', '--all-names', here('app:1'))).stdout, new RegExp(`untagged.*\nremoved ${made.id}\n$`));
  t.like(await berth('rmi', 'mine:2'), { status: 1, stdout: '' });
});

test.serial('the annotations of a manifest are told with the image, and too many are left out', async (t) => {
  const manifest = JSON.parse(String(made.blobs.get(digest)));
  const put = (annotations: string): void => {
    const body = JSON.stringify({ ...manifest, annotations: 'here' }).replace('"here"', annotations);
    registry.put('app/manifests/annotated', made.manifest.mediaType, Buffer.from(body));
  };
  const told = async () =>
    Object.entries((await daemon.client.ImageStatus({ image: { image: made.id } })).image?.spec?.annotations ?? {});
  put('{"org.opencontainers.image.title":"a\\nb","__proto__":"x","io.kubernetes.cri.runtime-handler":"kata"}');
  await pull(here('app:annotated'));
  const expected = [
    ['org.opencontainers.image.title', 'a\nb'],
    ['__proto__', 'x'],
    ['io.kubernetes.cri.runtime-handler', 'kata'],
  ];
  t.deepEqual((await told()).toSorted(), expected.toSorted());
  put(`{"a":"${'x'.repeat(17_000)}"}`);
  await pull(here('app:annotated'));
  t.deepEqual(await told(), []);
});

test.serial('one image has one id in every answer, whatever it was pulled, created or asked by', async (t) => {
  await daemon.import([names.busybox]);
  const { client } = daemon;
  const { image: told } = await client.ImageStatus({ image: { image: names.busybox } });
  const id = told?.id ?? '';
  const ways = [names.busybox, ...(told?.repo_digests ?? []), id, id.slice(7)];
  const pod = await hostPod();
  for (const way of ways) {
    const container = await pod.create('true', { image: { image: way, user_specified_image: names.busybox } });
    const status = await container.status();
    const { containers } = await client.ListContainers({ filter: { id: container.id } });
    t.deepEqual([status.image_id, containers[0]?.image_id], [id, id], way);
    t.deepEqual([status.image_ref, containers[0]?.image_ref], [told?.repo_digests[0], told?.repo_digests[0]], way);
    t.is(status.image?.image, names.busybox, way);
  }
  await pod.remove();
});

test.serial('an image that was removed stays for its container over a restart, and goes with it', async (t) => {
  await daemon.import([names.busybox]);
  const pod = await hostPod();
  const container = await pod.create(idle);
  const trees = (): Promise<string> => daemon.world.sh(`ls ${daemon.world.path('root/images/layers')} | wc -l`);
  const before = await trees();
  await remove(names.busybox);
  await daemon.kill();
  await daemon.boot();
  t.deepEqual(await list(), []);
  t.is(await trees(), before);
  await container.start();
  t.is((await container.exec('ls /bin/busybox')).stdout, '/bin/busybox\n');
  await pod.remove();
  t.is(await trees(), '0\n');
});

test.serial('an artifact is mounted as files and sub directories, by any user, and is no image to run', async (t) => {
  await daemon.import([names.busybox]);
  const thing = artifact([
    { data: 'one', title: 'one.txt' },
    { data: 'two', title: 'dir/sub/two.txt' },
  ]);
  registry.add('1', thing, 'thing');
  const image = { image: here('thing:1') };
  t.is((await daemon.client.PullImage({ image })).image_ref, thing.id);
  const { image: told } = await daemon.client.ImageStatus({ image });
  t.deepEqual(told?.repo_digests, [`${here('thing')}@${thing.id}`]);
  const pod = await hostPod();
  const mount = (container_path: string, image_sub_path = '') => ({
    container_path,
    readonly: true,
    image,
    image_sub_path,
  });
  const container = await pod.run(idle, {
    mounts: [mount('/volume'), mount('/sub', 'dir/sub')],
    linux: { security_context: { run_as_user: { value: 1000n } } },
  });
  const script =
    'cd /volume; find . | sort; cat one.txt /sub/two.txt; stat -c " %a %u" one.txt dir . ; echo x >one.txt';
  const { stdout, stderr } = await container.exec(script);
  t.is(stdout, '.\n./dir\n./dir/sub\n./dir/sub/two.txt\n./one.txt\nonetwo 644 0\n 755 0\n 755 0\n');
  t.regex(stderr, /Read-only file system|Permission denied/);
  t.is((await container.status()).mounts[0]?.image?.image_ref, thing.id);
  const cannot =
    /is an artifact of type application\/vnd.example.thing: it can be mounted as an image volume, but not run/;
  await fails(t, pod.create('true', { image }), 'failed-precondition', cannot);
  await fails(t, pod.create('true', { mounts: [mount('/a', 'nothing')] }), 'not-found', /no such directory/);
  const { info } = await daemon.client.ImageStatus({ image, verbose: true });
  t.like(JSON.parse(info.info ?? ''), {
    imageSpec: { rootfs: { diff_ids: [] } },
    artifactType: 'application/vnd.example.thing',
  });
  const inspected = JSON.parse((await berth('inspect', image.image)).stdout);
  t.like(inspected, { artifact_type: 'application/vnd.example.thing', config: {} });
  await remove(image.image);
  t.is((await container.exec('cat /volume/one.txt')).stdout, 'one');
  await pod.remove();
});
