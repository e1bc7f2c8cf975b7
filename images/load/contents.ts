import type { Digest } from '../../base/digest.ts';
import { invalid } from '../../base/errors.ts';
import { digestOf } from '../blobs/verify.ts';
import { checkLayout, type Layout } from '../layout.ts';
import { type Descriptor, type ImageIndex, parseManifest } from '../manifest.ts';
import type { Document, Source } from '../source.ts';
import { besideSource, sortEntries } from './beside.ts';
import { dockerEntries, dockerNames } from './docker.ts';
import type { Spool } from './spool.ts';

/** An entry of an index with all names that it has. */
export interface NamedEntry {
  readonly descriptor: Descriptor;
  readonly names: readonly string[];
}

/** One that can tell what it has without giving it. */
export interface LocalSource extends Source {
  /** Throws not-found when it does not have the blob. */
  check(descriptor: Descriptor): Promise<void>;
  /** All that it has itself, also what no index tells of. */
  blobs(): AsyncIterable<{ readonly digest: Digest; readonly size: number }>;
}

/** What an archive or a directory holds. */
export interface Contents {
  readonly source: LocalSource;
  /** The index that leads to the entries. */
  readonly document: Document;
  readonly entries: readonly NamedEntry[];
  /** What its signatures are read from. */
  readonly beside: Source;
  /** For errors. */
  readonly what: string;
}

export const layoutContents = async (layout: Layout, what: string): Promise<Contents> => {
  const { document, index } = await layout.index();
  return { source: layout, document, ...(await sortedIn(layout, index)), what };
};

/** An archive that is both, as newer versions of Docker write them, is read as the layout: its digests are the registry's. */
export const archiveContents = async (spool: Spool): Promise<Contents> => {
  const { what } = spool;
  const [index, docker] = [spool.document('index.json'), spool.document('manifest.json')];
  if (index !== undefined) return bothContents(spool, index, docker);
  if (docker === undefined)
    throw invalid(
      `${what}: neither an OCI image layout nor what docker save writes: it has no index.json and no manifest.json`,
    );
  const document = { bytes: docker, mediaType: '', digest: digestOf(docker) };
  const entries = await dockerEntries(spool, docker);
  return { source: spool, document, entries, beside: besideSource(spool, []), what };
};

const bothContents = async (spool: Spool, index: Buffer, docker: Buffer | undefined): Promise<Contents> => {
  const { what } = spool;
  checkLayout(spool.document('oci-layout'), what);
  const { entries, beside } = await sortedIn(spool, readIndex(index, what));
  const document = { bytes: index, mediaType: '', digest: digestOf(index) };
  const named = docker === undefined ? entries : await dockerNames(spool, docker, entries);
  return { source: spool, document, entries: named, beside, what };
};

const sortedIn = async (
  source: LocalSource,
  { manifests }: ImageIndex,
): Promise<Pick<Contents, 'entries' | 'beside'>> => {
  const never = new AbortController().signal;
  const { entries, beside } = await sortEntries(manifests.map(namedEntry), (digest) => source.manifest(digest, never));
  return { entries, beside: besideSource(source, beside) };
};

const readIndex = (bytes: Buffer, what: string): ImageIndex => {
  const parsed = parseManifest(bytes, '', `${what}: index.json`);
  if (parsed.kind !== 'index') throw invalid(`${what}: index.json: not an image index`);
  return parsed;
};

const namedEntry = (descriptor: Descriptor): NamedEntry => {
  const name = nameIn(descriptor);
  return { descriptor, names: name === undefined ? [] : [name] };
};

/** skopeo and buildah write just a tag there, which names nothing. */
const nameIn = ({ annotations }: Descriptor): string | undefined =>
  [annotations['io.containerd.image.name'], annotations['org.opencontainers.image.ref.name']].find(
    (text) => text !== undefined && /[/:]/.test(text),
  );
