// A layer of ten million entries, whole: time and memory are told, and what is there is counted from outside.
import { execFile } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createGzip } from 'node:zlib';
import test from 'ava';
import { type Digest, sha256 } from '../../base/digest.ts';
import { architecture, mediaTypes } from '../harness/image.ts';
import { tar } from '../harness/tar.ts';
import { helperWith, openWorld } from './world.ts';

const run = promisify(execFile);
const entries = Number(process.env.BERTH_TEST_ENTRIES ?? 10_000_000);
const inDirectory = 1000;
const end = Buffer.alloc(1024);

/** A directory and 999 empty files; only the names and the sums of the headers differ from one to the next. */
function* headers(): Generator<Buffer> {
  for (let at = 0; at < entries / inDirectory; at += 1) {
    const directory = `d${at}/`;
    const files = Array.from({ length: inDirectory - 1 }, (_, file) => ({ name: `${directory}f${file}` }));
    yield tar([{ name: directory, type: 'directory' }, ...files]).subarray(0, inDirectory * 512);
  }
  yield end;
}

/** Writes the layer's blob; gives its digests and size. */
const writeLayer = async (path: string): Promise<{ digest: Digest; diffId: Digest; size: number }> => {
  const [plain, packed] = [createHash('sha256'), createHash('sha256')];
  const gzip = createGzip({ level: 1 });
  const file = createWriteStream(path);
  let size = 0;
  gzip.on('data', (chunk: Buffer) => {
    packed.update(chunk);
    size += chunk.length;
  });
  gzip.pipe(file);
  for (const block of headers()) {
    plain.update(block);
    if (!gzip.write(block)) await once(gzip, 'drain');
  }
  gzip.end();
  await once(file, 'close');
  const digestOf = (hash: Hash): Digest => `sha256:${hash.digest('hex')}` as Digest;
  return { digest: digestOf(packed), diffId: digestOf(plain), size };
};

const writeImage = async (directory: string): Promise<Digest> => {
  const blobs = join(directory, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const { digest, diffId, size } = await writeLayer(join(directory, 'layer'));
  await rename(join(directory, 'layer'), join(blobs, digest.slice(7)));
  const put = async (value: object, mediaType: string) => {
    const bytes = Buffer.from(JSON.stringify(value));
    await writeFile(join(blobs, sha256(bytes).slice(7)), bytes);
    return { mediaType, size: bytes.length, digest: sha256(bytes) };
  };
  const rootfs = { type: 'layers', diff_ids: [diffId] };
  const config = await put({ architecture, os: 'linux', config: {}, rootfs }, mediaTypes.config);
  const layers = [{ mediaType: mediaTypes.layer, size, digest }];
  const manifest = await put({ schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers }, mediaTypes.manifest);
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
  return config.digest;
};

/** kB, the most that a process of the helper has had. */
const peaks = () => {
  const most = new Map<string, number>();
  const pids = new Map<number, string>();
  const look = async (pid: number, role: string): Promise<void> => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const peak = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0);
    most.set(role, Math.max(most.get(role) ?? 0, peak));
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    await Promise.all(
      children
        .split(' ')
        .filter(Boolean)
        .map((child) => look(Number(child), role)),
    );
  };
  const timer = setInterval(() => {
    for (const [pid, role] of pids) void look(pid, role);
  }, 200);
  return { most, helper: helperWith((pid, role) => void pids.set(pid, role)), stop: () => clearInterval(timer) };
};

test(`a layer of ${entries} entries is unpacked, checked and removed, by processes of bounded memory`, async (t) => {
  t.timeout(3_600_000);
  const place = await mkdtemp('/tmp/bt-many-');
  const disk = join(place, 'disk');
  const [layout, on] = [join(place, 'layout'), join(place, 'on')];
  const watched = peaks();
  try {
    const id = await writeImage(layout);
    await mkdir(on);
    await run('truncate', ['-s', '40G', disk]);
    await run('mkfs.ext4', ['-q', '-N', `${Math.ceil(entries * 1.1) + 100_000}`, disk]);
    await run('mount', ['-o', 'loop', disk, on]);
    const signal = new AbortController().signal;
    const told: string[] = [];
    const timed = async <T>(what: string, action: () => Promise<T>): Promise<T> => {
      const begin = performance.now();
      const result = await action();
      const rss = Math.round(process.memoryUsage.rss() / 2 ** 20);
      told.push(`${what}: ${((performance.now() - begin) / 1000).toFixed(1)} s, this process ${rss} MB`);
      return result;
    };
    await using world = await openWorld({ helper: watched.helper }, on);
    const { images } = world;
    t.is(await timed('import', () => images.importLayout(layout, 'many.example/app:1', signal)), id);
    const [tree = ''] = images.layersOf(id).lowers;
    t.is((await readdir(tree)).length, entries / inDirectory);
    const last = await readdir(join(tree, `d${entries / inDirectory - 1}`));
    t.is(last.length, inDirectory - 1);
    await timed('check', async () => {
      for await (const { finding } of images.check({ repair: false, signal })) t.is(finding, undefined);
    });
    await timed('remove, to the caller', () => images.remove(id));
    await timed('deletion', async () => {
      for await (const _ of images.prune({ garbageOnly: true, before: 0, signal }));
    });
    t.deepEqual(await readdir(join(world.root, 'images/tmp')), []);
    for (const line of told) t.log(line);
    for (const [role, kb] of watched.most) t.log(`${role}: ${Math.round(kb / 1024)} MB at most`);
    t.true([...watched.most.values()].every((kb) => kb < 600 << 10));
  } finally {
    watched.stop();
    await run('umount', [on]).catch(() => undefined);
    await rm(place, { recursive: true, force: true });
  }
});
