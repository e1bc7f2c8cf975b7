import { BerthError, invalid } from '../base/errors.ts';
import { Layout } from './layout.ts';
import type { Descriptor } from './manifest.ts';
import { chooseImage } from './pull/choose.ts';
import { type PullTools, pullImage } from './pull/pull.ts';
import { parseReference, type Reference } from './reference.ts';
import type { Document } from './source.ts';
import type { Platform } from './types.ts';

export interface ImportJob {
  readonly directory: string;
  readonly name: string | undefined;
  readonly platforms: readonly Platform[];
  readonly signal: AbortSignal;
}

/** Imports the one image of a layout directory that is for this machine; the way is that of a pull. */
export const importImage = async (tools: PullTools, job: ImportJob): Promise<string> => {
  const { platforms, signal } = job;
  const layout = await Layout.open(job.directory);
  const { root, annotations } = await rootOf(layout, job);
  const reference = nameFor(job, annotations);
  return pullImage(tools, { source: layout, reference, root, platforms, signal, report: () => undefined });
};

/** index.json is no part of the image: what it lists is. The entry that leads to the image is what the name stands for. */
const rootOf = async (
  layout: Layout,
  { directory, platforms, signal }: ImportJob,
): Promise<{ root: Document; annotations: Descriptor['annotations'] }> => {
  const { document, index } = await layout.index();
  const choice = await chooseImage(document, platforms, (digest) => layout.manifest(digest), signal);
  const root = choice.documents[1];
  if (root === undefined) throw invalid(`import ${directory}: index.json lists no image`);
  const entry = index.manifests.find(({ digest }) => digest === root.digest);
  return { root: { ...root, mediaType: entry?.mediaType ?? '' }, annotations: entry?.annotations ?? {} };
};

/** The name given, else the one in the layout; skopeo and buildah write only a tag there, which names nothing. */
const nameFor = ({ directory, name }: ImportJob, annotations: Descriptor['annotations']): Reference => {
  const text = name ?? annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'];
  if (text === undefined || (name === undefined && !/[/:]/.test(text)))
    throw new BerthError('invalid-argument', `import ${directory}: the layout does not name the image; give a name`);
  return parseReference(text);
};
