import test from 'ava';
import type { TestDaemon } from './harness/daemon.ts';
import { names, registryHost } from './harness/images.ts';
import { idle, runPod } from './harness/pods.ts';
import { startRegistry } from './harness/registry.ts';
import { fails, suiteDaemon, warmUp } from './harness/suite.ts';

// The images of this file come from the registry, so what a test pulls is taken away again by the test.
const daemon = suiteDaemon({
  images: [],
  setUp: async (started) => {
    await startRegistry(started.world);
    await startRegistry(started.world, { address: '127.0.0.1:5001', password: true });
    await started.client.PullImage({ image: { image: names.busybox } });
    await warmUp(started);
    await removeImages(started);
  },
  tidy: (running) => removeImages(running),
});
const removeImages = async ({ client }: TestDaemon): Promise<void> => {
  for (const { id } of (await client.ListImages({})).images) await client.RemoveImage({ image: { image: id } });
};
const client = (): ReturnType<typeof daemon>['client'] => daemon().client;
const pull = async (name: string): Promise<string> => (await client().PullImage({ image: { image: name } })).image_ref;
const remove = (name: string): Promise<unknown> => client().RemoveImage({ image: { image: name } });

test('PullImage answers with the image id, and ImageStatus finds it by tag, digest and id', async (t) => {
  const id = await pull(names.busybox);
  t.regex(id, /^sha256:[0-9a-f]{64}$/);
  const { image } = await client().ImageStatus({ image: { image: names.busybox } });
  t.is(image?.id, id);
  t.deepEqual(image?.repo_tags, [names.busybox]);
  t.is(image?.repo_digests.length, 1);
  t.true((image?.size ?? 0n) > 100_000n);
  for (const name of [id, id.slice(7), image?.repo_digests[0] ?? ''])
    t.is((await client().ImageStatus({ image: { image: name } })).image?.id, id, name);
});

test('the verbose status of an image has its configuration and its layers', async (t) => {
  await pull(names.layered);
  const { info } = await client().ImageStatus({ image: { image: names.layered }, verbose: true });
  const parsed: unknown = JSON.parse(info.info ?? '');
  t.like(parsed, { imageSpec: { config: { Cmd: ['sh'] }, rootfs: { type: 'layers' } } });
  t.regex(info.info ?? '', /"chainID":"sha256:[0-9a-f]{64}".*"diff_ids":\["sha256:[0-9a-f]{64}","sha256:/);
});

test('ImageStatus of an image that is not there is an answer without an image', async (t) => {
  const { image } = await client().ImageStatus({ image: { image: names.volume } });
  t.is(image, undefined);
});

test('an image is pulled by digest and by tag and digest', async (t) => {
  await pull(names.busybox);
  const { image } = await client().ImageStatus({ image: { image: names.busybox } });
  const byDigest = image?.repo_digests[0] ?? '';
  await remove(names.busybox);
  t.is(await pull(byDigest), image?.id ?? '');
  const digested = await client().ImageStatus({ image: { image: byDigest } });
  t.deepEqual(digested.image?.repo_tags, []);
  t.deepEqual(digested.image?.repo_digests, [byDigest]);
});

test('two tags of one image are one image with both tags', async (t) => {
  t.is(await pull(names.busybox), await pull(names.busyboxToo));
  const { images } = await client().ListImages({});
  t.is(images.length, 1);
  t.deepEqual([...(images[0]?.repo_tags ?? [])].sort(), [names.busybox, names.busyboxToo]);
});

test('ListImages filters by name', async (t) => {
  await pull(names.busybox);
  await pull(names.layered);
  const list = async (image: string): Promise<number> =>
    (await client().ListImages({ filter: { image: { image } } })).images.length;
  t.is((await client().ListImages({})).images.length, 2);
  t.is(await list(names.layered), 1);
  t.is(await list(names.volume), 0);
});

test('the user of the image is told as a number or as a name', async (t) => {
  const of = async (image: string): Promise<unknown> => {
    await pull(image);
    const status = await client().ImageStatus({ image: { image } });
    return [status.image?.uid?.value, status.image?.username];
  };
  t.deepEqual(await of(names.userUid), [1000n, '']);
  t.deepEqual(await of(names.userName), [undefined, 'www-data']);
  t.deepEqual(await of(names.userUidGid), [1003n, '']);
  t.deepEqual(await of(names.userNameGroup), [undefined, 'tester']);
});

test('RemoveImage is idempotent and removes all names of the image', async (t) => {
  await pull(names.busybox);
  await pull(names.busyboxToo);
  await remove(names.busybox);
  await remove(names.busybox);
  await t.notThrowsAsync(remove(names.volume));
  t.is((await client().ListImages({})).images.length, 0);
});

test('the image of a running container can be removed, and the container goes on', async (t) => {
  await pull(names.busybox);
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  await remove(names.busybox);
  t.is((await container.exec('ls /bin/busybox')).stdout, '/bin/busybox\n');
  t.is((await client().ImageStatus({ image: { image: names.busybox } })).image, undefined);
});

test('A11: after the last image is removed no layer and no blob is left', async (t) => {
  const usage = async (): Promise<bigint> =>
    (await client().ImageFsInfo({})).image_filesystems[0]?.used_bytes?.value ?? -1n;
  await pull(names.layered);
  t.true((await usage()) > 1_000_000n);
  await remove(names.layered);
  t.true((await usage()) < 100_000n);
});

test('ImageFsInfo names a mount point and a time, the same one for containers where they are on one file system', async (t) => {
  await pull(names.busybox);
  const { image_filesystems, container_filesystems } = await client().ImageFsInfo({});
  t.true((image_filesystems[0]?.fs_id?.mountpoint ?? '').startsWith('/'));
  t.true((image_filesystems[0]?.timestamp ?? 0n) > 0n);
  t.true((image_filesystems[0]?.inodes_used?.value ?? 0n) > 0n);
  t.deepEqual(container_filesystems[0]?.fs_id, image_filesystems[0]?.fs_id);
});

test('a registry with a password: without it UNAUTHENTICATED, with it the image', async (t) => {
  const image = { image: names.busybox.replace(registryHost, '127.0.0.1:5001') };
  const wrong = { username: 'berth', password: 'wrong' };
  await fails(t, client().PullImage({ image }), 'unauthenticated', /401|unauthorized/i);
  await fails(t, client().PullImage({ image, auth: wrong }), 'unauthenticated', /401|unauthorized/i);
  const { image_ref } = await client().PullImage({ image, auth: { username: 'berth', password: 'secret' } });
  t.regex(image_ref, /^sha256:/);
  const auth = Buffer.from('berth:secret').toString('base64');
  t.is((await client().PullImage({ image, auth: { auth } })).image_ref, image_ref);
});

test("no error and no log line shows the registry's password", async (t) => {
  const image = { image: '127.0.0.1:5001/berth/nothing:1' };
  const auth = { username: 'berth', password: 'secret-that-nobody-sees' };
  await t.throwsAsync(client().PullImage({ image, auth }), { message: /^(?!.*secret-that).*$/s });
  t.false((await daemon().log()).includes('secret-that-nobody-sees'));
  t.false((await daemon().log()).includes(Buffer.from('berth:secret-that-nobody-sees').toString('base64')));
});

test('an unknown image or tag is NOT_FOUND, a bad reference INVALID_ARGUMENT, a dead registry RegistryUnavailable', async (t) => {
  await fails(t, pull(`${registryHost}/berth/nothing:1`), 'not-found', /berth\/nothing/);
  await fails(t, pull(names.busybox.replace(/:1$/, ':no-such-tag')), 'not-found', /no-such-tag/);
  // Kubelet looks for this, and its client gives the text as it is only with this code.
  const dead = /^RegistryUnavailable: pull image 127\.0\.0\.1:5002\/berth\/busybox:1: .*ECONNREFUSED/;
  await fails(t, pull('127.0.0.1:5002/berth/busybox:1'), 'unknown', dead);
  for (const bad of ['UPPER/Case:1', 'a b', '../../etc/passwd', 'x@sha256:123', ':', `a/${'b'.repeat(300)}:1`])
    await fails(t, pull(bad), 'invalid-argument', /reference|digest|name/i);
  await fails(t, pull(''), 'invalid-argument', /image is empty/);
});

test('a pull for a runtime handler that is not known is refused', async (t) => {
  const image = { image: names.busybox, runtime_handler: 'kata' };
  await fails(t, client().PullImage({ image }), 'invalid-argument', /kata/);
  await t.notThrowsAsync(client().PullImage({ image: { ...image, runtime_handler: 'berth' } }));
});

test('a client that gives up leaves nothing of its pull but parts of layers for the next one, which a prune takes', async (t) => {
  const before = await daemon().snapshot();
  for (const after of [1, 5, 15, 40]) {
    const given = new AbortController();
    setTimeout(() => given.abort(), after);
    await client()
      .PullImage({ image: { image: names.layered } }, { signal: given.signal })
      .catch(() => {});
    await remove(names.layered);
  }
  t.deepEqual(await daemon().leftSince(before, /files: . \.\/root\/images\/partial\/sha256-/), []);
  for await (const _ of client().Prune({}));
  t.deepEqual(await daemon().leftSince(before), []);
});

test('Admin.Pull tells how far each layer is, and the id at the end', async (t) => {
  const messages = [];
  for await (const message of client().Pull({ image: names.layered })) messages.push(message);
  const { images } = await client().ListImages({});
  t.is(messages.at(-1)?.image_id, images[0]?.id);
  t.is(messages.filter(({ image_id }) => image_id !== '').length, 1);
  const done = new Set(
    messages.filter(({ phase }) => phase === 'DONE' || phase === 'PRESENT').map(({ digest }) => digest),
  );
  t.true(done.size >= 3);
});
