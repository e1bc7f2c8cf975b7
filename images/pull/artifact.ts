import { join } from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { BerthError, codeOf } from '../../base/errors.ts';
import { linkFile, makeDirectory, setMode, syncDirectory } from '../../base/files.ts';
import { type ArtifactFile, artifactFiles, directoriesOf } from '../artifact.ts';
import { verified } from '../blobs/verify.ts';
import { inBlobs, measuredTree } from '../layers/size.ts';
import type { Descriptor, ImageManifest } from '../manifest.ts';
import type { ImageStore } from '../store.ts';
import type { PullJob, PullTools } from './pull.ts';

/** What a directory takes on disk; the files are those of the blobs. */
const block = 4096;

/**
 * Makes the volume of an artifact there: one tree, kept by the digest of the manifest, in which each file is a hard link to
 * its blob. Nothing is decompressed or unpacked, and nothing is stored twice: so the blobs stay whatever `keepBlobs` says.
 */
export const obtainArtifact = async (
  tools: PullTools,
  job: PullJob,
  id: Digest,
  manifest: ImageManifest,
): Promise<readonly ArtifactFile[]> => {
  const files = artifactFiles(manifest, `artifact ${id}`);
  if (tools.store.layers.has(id)) return files;
  for (const { descriptor } of files) checkSize(tools, descriptor);
  await obtainBlobs(tools, job, files);
  await makeTree(tools, job, id, files);
  return files;
};

const checkSize = ({ layerLimit }: PullTools, { digest, size }: Descriptor): void => {
  if (size > layerLimit.bytes)
    throw new BerthError('resource-exhausted', `layer ${digest}: ${size} bytes, the limit is ${layerLimit.bytes}`);
};

/** All at once; the first failure ends the others, and none is left running when this returns. */
const obtainBlobs = async (tools: PullTools, job: PullJob, files: readonly ArtifactFile[]): Promise<void> => {
  const stop = new AbortController();
  const signal = AbortSignal.any([job.signal, stop.signal]);
  const results = await Promise.allSettled(
    files.map(({ descriptor }) =>
      obtainBlob(tools, { ...job, signal }, descriptor).catch((error: unknown) => {
        stop.abort(error);
        throw error;
      }),
    ),
  );
  if (stop.signal.aborted) throw stop.signal.reason;
  job.signal.throwIfAborted();
  for (const result of results) if (result.status === 'rejected') throw result.reason;
};

const obtainBlob = (tools: PullTools, job: PullJob, descriptor: Descriptor): Promise<void> => {
  const { digest, size: total } = descriptor;
  return tools.layerFlights.join(
    `blob ${digest}`,
    job.signal,
    job.report,
    async ({ signal, report }) => {
      report({ digest, offset: 0, total, phase: 'waiting' });
      await tools.limit.run(signal, () =>
        fetchBlob(tools.store, { ...job, signal }, descriptor, (offset) =>
          report({ digest, offset, total, phase: 'fetching' }),
        ),
      );
      report({ digest, offset: total, total, phase: 'done' });
    },
    job.origin,
  );
};

const fetchBlob = async (
  { blobs }: ImageStore,
  { source, signal }: PullJob,
  descriptor: Descriptor,
  report: (offset: number) => void,
): Promise<void> => {
  const { digest, size } = descriptor;
  if (blobs.has(digest)) {
    if (await isRight(blobs.stream(digest), descriptor)) return;
    await blobs.remove(digest);
  }
  for (;;) {
    try {
      await using writer = await blobs.writer();
      let offset = 0;
      for await (const chunk of verified(source.blob(descriptor, signal), descriptor, `layer ${digest}`)) {
        signal.throwIfAborted();
        await writer.write(chunk);
        offset += chunk.length;
        report(offset);
      }
      return await blobs.add(digest, size, writer);
    } catch (error) {
      if (signal.aborted || source.again === undefined) throw error;
      source.again(descriptor, error);
    }
  }
};

const isRight = async (chunks: AsyncIterable<Buffer>, descriptor: Descriptor): Promise<boolean> => {
  try {
    for await (const _ of verified(chunks, descriptor, 'blob'));
    return true;
  } catch (error) {
    if (codeOf(error) === 'data-loss') return false;
    throw error;
  }
};

const makeTree = async (
  tools: PullTools,
  { signal }: PullJob,
  id: Digest,
  files: readonly ArtifactFile[],
): Promise<void> => {
  const { layers, paths } = tools.store;
  await using scratch = await layers.scratch('layer');
  const root = join(scratch.path, 'fs');
  const directories = directoriesOf(files);
  for (const directory of directories) {
    await makeDirectory(join(root, directory));
    await setMode(join(root, directory), 0o755);
  }
  for (const { path, descriptor } of files) {
    const blob = paths.blob(descriptor.digest);
    // The store is closed to others (0700); a container's user has to read it.
    await setMode(blob, 0o644);
    await linkFile(blob, join(root, path));
  }
  for (const directory of directories.toReversed()) await syncDirectory(join(root, directory));
  await syncDirectory(root);
  const inodes = directories.length + 1;
  const { sums } = await measuredTree(tools, root, signal, inBlobs);
  await layers.add(id, scratch.path, { bytes: inodes * block, inodes, sums }, Buffer.alloc(0));
};
