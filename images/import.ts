import type { Digest } from '../base/digest.ts';
import { invalid } from '../base/errors.ts';
import { Layout } from './layout.ts';
import type { LoadTools } from './load/load.ts';
import type { Descriptor } from './manifest.ts';
import { chooseEntry } from './pull/choose.ts';
import { type PullJob, pullImage } from './pull/pull.ts';
import { formatReference, parseReference, type Reference } from './reference.ts';
import type { Document } from './source.ts';
import type { Platform } from './types.ts';
import { verifyGiven } from './verify/given.ts';

export interface ImportJob {
  readonly directory: string;
  readonly name: string | undefined;
  readonly platforms: readonly Platform[];
  readonly signal: AbortSignal;
}

/** Imports the one image of a layout directory that is for this machine; the way is that of a pull. */
export const importImage = async (tools: LoadTools, job: ImportJob): Promise<Digest> => {
  const { directory, platforms, signal } = job;
  const layout = await Layout.open(directory);
  const { document, index } = await layout.index();
  const reference = nameFor(job, index.manifests);
  const entries = index.manifests.filter((entry) => isNamed(entry, reference));
  const fetch = (digest: string): Promise<Document> => layout.manifest(digest);
  // index.json is no part of the image: the entry of it that leads to the image is what the name stands for.
  const root = await chooseEntry(document, entries.length > 0 ? entries : index.manifests, platforms, fetch, signal);
  const verify: PullJob['verify'] = (documents) => verifyGiven(tools, reference, root.digest, () => documents, signal);
  return pullImage(tools, { source: layout, reference, root, platforms, signal, report: () => undefined, verify });
};

const nameIn = ({ annotations }: Descriptor): string | undefined =>
  annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'];

const isNamed = (entry: Descriptor, reference: Reference): boolean => {
  const name = nameIn(entry);
  try {
    return name !== undefined && formatReference(parseReference(name)) === formatReference(reference);
  } catch {
    return false;
  }
};

/** The name given, else the only one in the layout; skopeo and buildah write just a tag there, which names nothing. */
const nameFor = ({ directory, name }: ImportJob, entries: readonly Descriptor[]): Reference => {
  const names = new Set(entries.map(nameIn).filter((text) => text !== undefined && /[/:]/.test(text)));
  const [only] = names;
  const text = name ?? only;
  if (text === undefined) throw invalid(`${directory}: the layout does not name the image; give a name`);
  if (name === undefined && names.size > 1)
    throw invalid(`${directory}: the layout has ${names.size} images; give the name of one: ${[...names].join(', ')}`);
  return parseReference(text);
};
