import type { Digest } from '../../base/digest.ts';
import { BerthError, codeOf, notFound } from '../../base/errors.ts';
import { digestOf } from '../blobs/verify.ts';
import { objectField, parseObject, textField, textMapField } from '../json.ts';
import type { Descriptor } from '../manifest.ts';
import type { Document, Source } from '../source.ts';
import type { LocalSource, NamedEntry } from './contents.ts';

/** What an index lists: images, and what is said about them: signatures, attestations, lists of contents. */
export interface Sorted {
  readonly entries: readonly NamedEntry[];
  readonly beside: readonly Descriptor[];
}

const cosignKind = /^dev\.cosignproject\.cosign\/(?:sigs|atts|sboms)$/;
const besideTag = /^sha256-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?$/;
/** CI tags images by digests as well: one that has a whole name is an image. */
const besideName = /^sha256-[0-9a-f]{64}\.(?:sig|att|sbom)$/;
const indexType = 'application/vnd.oci.image.index.v1+json';
const signatureType = 'application/vnd.dev.cosign.artifact.sig.v1+json';
/** A manifest of signatures is small: nothing larger is looked into. So many small blobs are looked at for one. */
const longest = 1 << 17;
const mostLookedAt = 2000;

const tagIn = ({ annotations }: Descriptor): string | undefined =>
  annotations['org.opencontainers.image.ref.name']?.split(':').at(-1);

const isSigstores = ({ descriptor, names }: NamedEntry): boolean =>
  cosignKind.test(descriptor.annotations.kind ?? '') ||
  (names.length === 0 ? besideTag : besideName).test(tagIn(descriptor) ?? '');

/** What has a name is taken as the image that somebody has named. What refers to a manifest is known by its own `subject` alone. */
export const sortEntries = async (
  entries: readonly NamedEntry[],
  manifest: (digest: Digest) => Promise<Document>,
): Promise<Sorted> => {
  const isBeside = async (entry: NamedEntry): Promise<boolean> => {
    const { descriptor, names } = entry;
    if (isSigstores(entry)) return true;
    if (names.length > 0 || descriptor.size > longest) return false;
    return (await referrerOf(() => manifest(descriptor.digest))) !== undefined;
  };
  const images: NamedEntry[] = [];
  const beside: Descriptor[] = [];
  // One after the other: a thousand entries may lead to the largest document that there is.
  for (const entry of entries)
    if (await isBeside(entry)) beside.push(entry.descriptor);
    else images.push(entry);
  return { entries: images, beside };
};

interface Referrer {
  readonly subject: string;
  readonly artifactType: string;
  readonly annotations: object;
}

const what = 'manifest';

/** Undefined for what is not there, is no document, is large, or refers to nothing: those who need it will say so. */
const referrerOf = async (read: () => Promise<Document>): Promise<Referrer | undefined> => {
  try {
    const { bytes } = await read();
    if (bytes.length > longest) return undefined;
    const document = parseObject(bytes, what);
    const subject = objectField(document, 'subject', what);
    if (subject === undefined) return undefined;
    const config = textField(objectField(document, 'config', what) ?? {}, 'mediaType', what);
    const artifactType = textField(document, 'artifactType', what) || config;
    const annotations = textMapField(document, 'annotations', what);
    return { subject: textField(subject, 'digest', what), artifactType, annotations };
  } catch {
    return undefined;
  }
};

/**
 * What an archive or a layout says about its images, as a registry would tell it: `sha256-<hex>.sig` by the tags of its index, and
 * what refers to a manifest, which cosign 3 leaves out of the index, by its blobs.
 */
export const besideSource = (source: LocalSource, beside: readonly Descriptor[]): Source => {
  const untold = beside.filter(({ annotations }) => annotations.kind === 'dev.cosignproject.cosign/sigs');
  let isTooMuch = false;
  let found: ReadonlyMap<string, readonly object[]> | undefined;
  return {
    manifest: async (text, signal) => {
      const entry = beside.find((one) => tagIn(one) === text);
      // A list of referrers that fails is looked for under a tag, and would be told to have been nowhere.
      if (entry === undefined && isTooMuch) throw tooMuch();
      if (entry === undefined && besideTag.test(text)) throw notFound(`the index has no tag ${text}`);
      return source.manifest(entry?.digest ?? text, signal);
    },
    referrers: async (digest, signal) => {
      if (isTooMuch) throw tooMuch();
      found ??= await referrersIn(source, signal).catch((error: unknown) => {
        isTooMuch = codeOf(error) === 'resource-exhausted';
        throw error;
      });
      const told = untold.map(({ digest: at, size }) => entryOf(at, size, signatureType));
      const manifests = [...told, ...(found.get(digest) ?? [])];
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }));
      return { bytes, mediaType: indexType, digest: digestOf(bytes) };
    },
    blob: (descriptor, signal) => source.blob(descriptor, signal),
  };
};

/** By what they refer to. An archive may have thousands of images: its blobs are looked through once for all of them. */
const referrersIn = async (source: LocalSource, signal: AbortSignal): Promise<ReadonlyMap<string, object[]>> => {
  const found = new Map<string, object[]>();
  let count = 0;
  for await (const { digest, size } of source.blobs()) {
    signal.throwIfAborted();
    if (size > longest) continue;
    count += 1;
    if (count > mostLookedAt) throw tooMuch();
    const referrer = await referrerOf(() => source.manifest(digest, signal));
    if (referrer === undefined) continue;
    const { subject, artifactType, annotations } = referrer;
    found.set(subject, [...(found.get(subject) ?? []), { ...entryOf(digest, size, artifactType), annotations }]);
  }
  return found;
};

const tooMuch = (): BerthError =>
  new BerthError('resource-exhausted', `there are more than ${mostLookedAt} small blobs to look for signatures in`);

const entryOf = (digest: Digest, size: number, artifactType: string): object => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest,
  size,
  artifactType,
});
