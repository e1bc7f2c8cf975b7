import { type Digest, digestParts } from '../../base/digest.ts';
import { BerthError, codeOf } from '../../base/errors.ts';
import { verified } from '../blobs/verify.ts';
import { objectsField, parseObject, textField } from '../json.ts';
import { type Descriptor, readDescriptor } from '../manifest.ts';
import type { Document, Source } from '../source.ts';

/** A signature that lies beside an image in its registry; nothing about it has been checked. */
export interface Signature {
  readonly payload: Buffer;
  readonly signature: Buffer;
}

const payloadType = 'application/vnd.dev.cosign.simplesigning.v1+json';
const referrerType = 'application/vnd.dev.cosign.artifact.sig.v1+json';
const annotation = 'dev.cosignproject.cosign/signature';
/** So many of an image are looked at, and so many bytes of each: who may push could make any number. */
export const mostSignatures = 64;
const mostReferrers = 16;
const longestPayload = 1 << 16;
const longestSignature = 1 << 13;

/**
 * The signatures of a manifest or index: what cosign keeps under the tag `sha256-<hex>.sig` of its repository, and then what
 * refers to it, by the registry's list or the one under the tag `sha256-<hex>` where registries have none. As they come, so
 * that nothing is asked for once a good one is found.
 */
export async function* signaturesOf(source: Source, digest: Digest, signal: AbortSignal): AsyncGenerator<Signature> {
  const { algorithm, hex } = digestParts(digest);
  const tag = `${algorithm}-${hex}`;
  const attached = await orNone(source.manifest(`${tag}.sig`, signal));
  if (attached !== undefined) yield* signaturesIn(source, attached, `${tag}.sig`, signal);
  const listed = await source.referrers?.(digest, signal).catch(unlessPassing);
  const list = listed ?? (await orNone(source.manifest(tag, signal)));
  if (list === undefined) return;
  for (const referrer of signaturesAmong(list, `referrers of ${digest}`))
    yield* signaturesIn(source, await source.manifest(referrer, signal), referrer, signal);
}

/** A list may be anything that somebody has pushed under that tag. */
const signaturesAmong = ({ bytes }: Document, what: string): readonly Digest[] => {
  const entries = objectsField(parseObject(bytes, what), 'manifests', what) ?? [];
  const wanted = entries.filter((entry) => textField(entry, 'artifactType', what) === referrerType);
  if (wanted.length > mostReferrers)
    throw new BerthError('resource-exhausted', `${what}: ${wanted.length} signatures, at most ${mostReferrers}`);
  return wanted.map((entry, i) => readDescriptor(entry, `${what}: manifests[${i}]`).digest);
};

/** Another try may do better. */
export const isPassing = (error: unknown): boolean =>
  ['unavailable', 'cancelled', 'deadline-exceeded'].includes(codeOf(error));

/** Registries without that list answer all kinds of things. */
const unlessPassing = (error: unknown): undefined => {
  if (isPassing(error)) throw error;
};

const orNone = async (document: Promise<Document>): Promise<Document | undefined> => {
  try {
    return await document;
  } catch (error) {
    if (codeOf(error) === 'not-found') return undefined;
    throw error;
  }
};

async function* signaturesIn(
  source: Source,
  document: Document,
  tag: string,
  signal: AbortSignal,
): AsyncGenerator<Signature> {
  const what = `signatures ${tag}`;
  const layers = objectsField(parseObject(document.bytes, what), 'layers', what) ?? [];
  const descriptors = layers
    .filter((layer) => textField(layer, 'mediaType', what) === payloadType)
    .map((layer, i) => readDescriptor(layer, `${what}: layers[${i}]`));
  if (descriptors.length > mostSignatures)
    throw new BerthError('resource-exhausted', `${what}: ${descriptors.length} of them, at most ${mostSignatures}`);
  for (const descriptor of descriptors) {
    const text = descriptor.annotations[annotation] ?? '';
    if (text === '' || text.length > longestSignature || descriptor.size > longestPayload) continue;
    yield {
      payload: await payloadOf(source, descriptor, what, signal),
      signature: Buffer.from(text, 'base64'),
    };
  }
}

const payloadOf = async (
  source: Source,
  descriptor: Descriptor,
  what: string,
  signal: AbortSignal,
): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of verified(source.blob(descriptor, signal), descriptor, `${what}: payload`))
    chunks.push(chunk);
  return Buffer.concat(chunks);
};
