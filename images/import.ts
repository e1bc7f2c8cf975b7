import type { Digest } from '../base/digest.ts';
import { invalid } from '../base/errors.ts';
import { Layout } from './layout.ts';
import { layoutContents, type NamedEntry } from './load/contents.ts';
import type { LoadTools } from './load/load.ts';
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
  const { document, entries: all, beside } = await layoutContents(layout, directory);
  const reference = nameFor(job, all);
  const named = all.filter((entry) => isNamed(entry, reference));
  const entries = (named.length > 0 ? named : all).map(({ descriptor }) => descriptor);
  const fetch = (digest: string): Promise<Document> => layout.manifest(digest);
  // index.json is no part of the image: the entry of it that leads to the image is what the name stands for.
  const root = await chooseEntry(document, entries, platforms, fetch, signal);
  const given = { reference, target: root.digest, signatures: beside };
  const verify: PullJob['verify'] = (documents) => verifyGiven(tools, given, () => documents, signal);
  return pullImage(tools, { source: layout, reference, root, platforms, signal, report: () => undefined, verify });
};

const isNamed = ({ names }: NamedEntry, reference: Reference): boolean =>
  names.some((name) => {
    try {
      return formatReference(parseReference(name)) === formatReference(reference);
    } catch {
      return false;
    }
  });

/** The name given, else the only one in the layout. */
const nameFor = ({ directory, name }: ImportJob, entries: readonly NamedEntry[]): Reference => {
  const names = new Set(entries.flatMap((entry) => entry.names));
  const [only] = names;
  const text = name ?? only;
  if (text === undefined) throw invalid(`${directory}: the layout does not name the image; give a name`);
  if (name === undefined && names.size > 1)
    throw invalid(`${directory}: the layout has ${names.size} images; give the name of one: ${[...names].join(', ')}`);
  return parseReference(text);
};
