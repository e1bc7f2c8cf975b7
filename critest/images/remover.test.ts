import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { Helper } from '../../images/types.ts';
import { image, layer } from '../harness/image.ts';
import { startTestRegistry } from '../harness/own-registry.ts';
import { until } from '../harness/until.ts';
import { deleteGarbage, helperWith, type ImageWorld, openWithRegistry, openWorld, testSettings } from './world.ts';

const never = new AbortController().signal;
const many = layer(Array.from({ length: 300 }, (_, at) => ({ name: `file${at}`, data: 'x' })));
const one = image([many], {});
const two = image([layer([{ name: 'other', data: 'other' }])], {});

/** What the helper was started for; `held` keeps deletions from being done. */
const watched = (): { readonly helper: Helper; readonly roles: string[][]; held: boolean } => {
  const real = helperWith(() => undefined);
  const roles: string[][] = [];
  const self = {
    roles,
    held: false,
    helper: {
      run: async (request: Parameters<Helper['run']>[0]) => {
        roles.push(request.argv.slice(1, 3));
        if (request.argv[1] !== 'tree-remove' || !self.held) return real.run(request);
        return new Promise<never>((_, reject) =>
          request.signal?.addEventListener('abort', () => reject(new Error('killed')), { once: true }),
        );
      },
    },
  };
  return self;
};

const set = (options: Parameters<typeof openWithRegistry>[1] = {}) => openWithRegistry({ 1: one, 2: two }, options);

const temporary = ({ root }: ImageWorld): Promise<string[]> => readdir(join(root, 'images/tmp'));

test('a removed image is moved away when the call returns, and deleted some time later', async (t) => {
  const { helper, roles } = watched();
  const returned = Promise.withResolvers<void>();
  const run: Helper['run'] = async (request) => {
    if (request.argv[1] === 'tree-remove') await returned.promise;
    return helper.run(request);
  };
  await using at = await set({ helper: { run } });
  await at.pull('1');
  await at.world.images.remove(one.id);
  t.true((await temporary(at.world)).length > 0);
  t.deepEqual(await readdir(join(at.world.root, 'images/layers')), []);
  returned.resolve();
  await until('it is deleted', async () => (await temporary(at.world)).length === 0);
  t.deepEqual(
    roles.filter(([role]) => role === 'tree-remove'),
    [['tree-remove', '--idle']],
    'all at once, and when nobody else wants the disk',
  );
});

test('nothing is deleted while something is pulled, and a deletion that runs is ended by a pull', async (t) => {
  const kept = watched();
  const patient = { configPath: [], plainHttp: ['127.0.0.1'], stallSeconds: 20 };
  await using at = await set({ helper: kept.helper, registry: patient });
  const started = () => kept.roles.filter(([role]) => role === 'tree-remove').length;
  await at.pull('1');
  kept.held = true;
  await at.world.images.remove(one.id);
  await until('it is being deleted', () => started() === 1);
  let release = (): void => undefined;
  const waiting = new Promise<void>((resolve) => {
    release = resolve;
  });
  at.registry.behave((_request, _response, next) => void waiting.then(next));
  const pulling = at.pull('2');
  kept.held = false;
  await sleep(1300);
  t.is(started(), 1, 'the one that was ended');
  t.true((await temporary(at.world)).length > 0);
  release();
  await pulling;
  await until('it goes on behind the pull', async () => (await temporary(at.world)).length === 0);
});

test('who waits for the deletion has it at once, with the low priority, and no pull ends it', async (t) => {
  const kept = watched();
  const patient = { configPath: [], plainHttp: ['127.0.0.1'], stallSeconds: 20 };
  await using at = await set({ helper: kept.helper, registry: patient });
  await at.pull('1');
  const held = Promise.withResolvers<void>();
  at.registry.behave((_request, _response, next) => void held.promise.then(next));
  const pulling = at.pull('2');
  await at.world.images.remove(one.id);
  await at.world.images.deleted();
  t.deepEqual(await temporary(at.world), []);
  t.deepEqual(kept.roles.at(-1), ['tree-remove', '--idle']);
  held.resolve();
  await pulling;
  kept.held = true;
  await at.world.images.remove(two.id);
  void at.world.images.deleted();
  const deletions = () => kept.roles.filter(([role]) => role === 'tree-remove').length;
  await until('it is being deleted', () => deletions() === 2);
  await at.pull('1');
  t.is(deletions(), 2, 'no pull has ended it');
});

test('what was not deleted at the end of the daemon is at its next start, which does not wait for it', async (t) => {
  const kept = watched();
  kept.held = true;
  await using at = await set({ helper: kept.helper });
  await at.pull('1');
  await at.world.images.remove(one.id);
  await using again = await at.world.reopen();
  t.true((await temporary(again)).length > 0);
  t.true((await again.images.usage()).bytes > 0);
  kept.held = false;
  await deleteGarbage(again.images);
  t.deepEqual(await temporary(again), []);
});

test('what cannot be deleted stays, with a warning, and is tried again with the next', async (t) => {
  const real = helperWith(() => undefined);
  let isBroken = true;
  const run: Helper['run'] = async (request) => {
    if (request.argv[1] !== 'tree-remove' || !isBroken) return real.run(request);
    return { code: 1, signal: 0, stdout: Buffer.alloc(0), stderr: Buffer.from('remove: x: Read-only file system\n') };
  };
  await using at = await set({ helper: { run } });
  await at.pull('1');
  await at.world.images.remove(one.id);
  await deleteGarbage(at.world.images);
  t.true(at.world.warnings.some((line) => line.startsWith('garbage could not be deleted')));
  t.true((await temporary(at.world)).length > 0);
  isBroken = false;
  await deleteGarbage(at.world.images);
  t.deepEqual(await temporary(at.world), []);
});

test('what cannot be deleted keeps nothing else from being deleted', async (t) => {
  const real = helperWith(() => undefined);
  let stuck: string | undefined;
  const run: Helper['run'] = async (request) => {
    if (request.argv[1] !== 'tree-remove') return real.run(request);
    const paths = request.argv.filter((word) => word.startsWith('/') && word !== request.argv[0]);
    stuck ??= paths.at(-1);
    if (stuck === undefined || !paths.includes(stuck)) return real.run(request);
    return { code: 1, signal: 0, stdout: Buffer.alloc(0), stderr: Buffer.from('remove: x: Operation not permitted\n') };
  };
  await using at = await set({ helper: { run } });
  await at.pull('1');
  await at.world.images.remove(one.id);
  t.true((await temporary(at.world)).length > 2);
  await deleteGarbage(at.world.images);
  t.deepEqual(
    (await temporary(at.world)).map((name) => join(at.world.root, 'images/tmp', name)),
    [stuck],
  );
});

test('what lies in the temporary directory at a start is measured, told, and deleted', async (t) => {
  await using at = await set();
  const left = join(at.world.root, 'images/tmp/layer.0123');
  await mkdir(join(left, 'fs'), { recursive: true });
  await writeFile(join(left, 'fs/file'), Buffer.alloc(100_000, 'x'));
  await writeFile(join(at.world.root, 'images/tmp/blob.0123'), 'cut');
  await using again = await at.world.reopen();
  const { garbage } = await again.images.disk(never);
  t.like(garbage, { count: 2, inodes: 4 });
  t.true(garbage.bytes >= 100_000);
  await deleteGarbage(again.images);
  await t.throwsAsync(stat(left), { code: 'ENOENT' });
});

test('a pinned image is in use for ever: no prune takes it', async (t) => {
  await using registry = await startTestRegistry();
  await using world = await openWorld({
    images: { ...testSettings, pinned: [`${registry.host}/app:1`] },
  });
  registry.add('1', one);
  registry.add('2', two);
  for (const tag of ['1', '2']) await world.images.pull(`${registry.host}/app:${tag}`, undefined, { signal: never });
  const { images } = await world.images.prunable(Date.now() + 1000);
  t.deepEqual(
    images.map(({ id }) => id),
    [two.id],
  );
  const job = { garbageOnly: false, before: Date.now() + 1000, signal: never };
  for await (const _ of world.images.prune(job));
  t.deepEqual(
    world.images.list().map(({ id }) => id),
    [one.id],
  );
});
