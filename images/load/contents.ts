import { invalid } from '../../base/errors.ts';
import { digestOf } from '../blobs/verify.ts';
import { checkLayout, type Layout } from '../layout.ts';
import { type Descriptor, type ImageIndex, parseManifest } from '../manifest.ts';
import type { Document, Source } from '../source.ts';
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
}

/** What an archive or a directory holds. */
export interface Contents {
  readonly source: LocalSource;
  /** The index that leads to the entries. */
  readonly document: Document;
  readonly entries: readonly NamedEntry[];
  /** For errors. */
  readonly what: string;
}

export const layoutContents = async (layout: Layout, what: string): Promise<Contents> => {
  const { document, index } = await layout.index();
  return { source: layout, document, entries: index.manifests.map(namedEntry), what };
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
  return { source: spool, document, entries: await dockerEntries(spool, docker), what };
};

const bothContents = async (spool: Spool, index: Buffer, docker: Buffer | undefined): Promise<Contents> => {
  const { what } = spool;
  checkLayout(spool.document('oci-layout'), what);
  const entries = readIndex(index, what).manifests.map(namedEntry);
  const document = { bytes: index, mediaType: '', digest: digestOf(index) };
  const named = docker === undefined ? entries : await dockerNames(spool, docker, entries);
  return { source: spool, document, entries: named, what };
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
