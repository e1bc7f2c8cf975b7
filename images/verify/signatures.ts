import { type Digest, digestParts } from '../../base/digest.ts';
import { BerthError, codeOf, messageOf } from '../../base/errors.ts';
import { verified } from '../blobs/verify.ts';
import { objectsField, parseObject, textField, textMapField } from '../json.ts';
import { type Descriptor, readDescriptor } from '../manifest.ts';
import { isOutage } from '../registry/temporary.ts';
import type { Document, Source } from '../source.ts';
import { isBundleType, signaturesInBundle } from './bundle.ts';
import { type Claim, parseSimpleClaim, signaturePredicate } from './claim.ts';

/** A signature that lies beside an image in its registry; nothing about it has been checked. */
export interface Signature {
  /** The bytes that were signed. */
  readonly signed: Buffer;
  readonly signature: Buffer;
  /** What they say; throws for what says nothing. To be asked only when a key has signed them. */
  claim(): Claim;
}

/** What lies where a signature should. */
export interface Fault {
  readonly fault: string;
}

const payloadType = 'application/vnd.dev.cosign.simplesigning.v1+json';
const predicateAnnotation = 'dev.sigstore.bundle.predicateType';
const referrerType = 'application/vnd.dev.cosign.artifact.sig.v1+json';
/** What clients write into a list under a tag when they do not look at the manifest's own type (cosign 3). */
const untellingTypes: readonly string[] = [
  '',
  'application/vnd.oci.empty.v1+json',
  'application/vnd.oci.image.config.v1+json',
];
const annotation = 'dev.cosignproject.cosign/signature';
/** So many of an image are looked at, and so many bytes of each: who may push could make any number. */
export const mostSignatures = 64;
const mostReferrers = 16;
const mostUntold = 64;
const longestPayload = 1 << 17;
const longestSignature = 1 << 13;

/**
 * The signatures of a manifest or index: what cosign keeps under the tag `sha256-<hex>.sig` of its repository, and then what
 * refers to it, by the registry's list or the one under the tag `sha256-<hex>` where registries have none. As they come, so
 * that nothing is asked for once a good one is found.
 */
export async function* signaturesOf(
  source: Source,
  digest: Digest,
  signal: AbortSignal,
): AsyncGenerator<Signature | Fault> {
  const { algorithm, hex } = digestParts(digest);
  const tag = `${algorithm}-${hex}`;
  yield* tolerant(async function* () {
    const attached = await orNone(source.manifest(`${tag}.sig`, signal));
    if (attached !== undefined) yield* signaturesIn(source, attached, `${tag}.sig`, signal);
  });
  const listed = await source.referrers?.(digest, signal).catch(unlessPassing);
  const list = listed ?? (await orNone(source.manifest(tag, signal)));
  if (list === undefined) return;
  for (const referrer of signaturesAmong(list, `referrers of ${digest}`))
    yield* tolerant(async function* () {
      yield* signaturesIn(source, await source.manifest(referrer, signal), referrer, signal);
    });
}

/** What is broken must not keep a good one from being found: anyone who may push can put it there. */
async function* tolerant(read: () => AsyncIterable<Signature | Fault>): AsyncGenerator<Signature | Fault> {
  try {
    yield* read();
  } catch (error) {
    if (isPassing(error)) throw error;
    yield { fault: messageOf(error) };
  }
}

/**
 * A list may be anything that somebody has pushed under that tag. Statements about an image are bundles as well. What calls itself
 * a signature comes first: what says nothing of itself, and how much of it there is, matters when none of those is good.
 */
function* signaturesAmong({ bytes }: Document, what: string): Generator<Digest> {
  const entries = objectsField(parseObject(bytes, what), 'manifests', what) ?? [];
  const typed = entries.map((entry) => ({ entry, type: textField(entry, 'artifactType', what) }));
  const told = typed.filter(({ entry, type }) => {
    const predicate = textMapField(entry, 'annotations', what)[predicateAnnotation] ?? signaturePredicate;
    return type === referrerType || (isBundleType(type) && predicate === signaturePredicate);
  });
  const untold = typed.filter(({ type }) => untellingTypes.includes(type));
  for (const { found, most } of [
    { found: told, most: mostReferrers },
    { found: untold, most: mostUntold },
  ]) {
    if (found.length > most)
      throw new BerthError('resource-exhausted', `${what}: ${found.length} signatures, at most ${most}`);
    for (const { entry } of found) yield readDescriptor(entry, `${what}: manifests[${entries.indexOf(entry)}]`).digest;
  }
}

/** Another try may do better: it says nothing of the image. */
export const isPassing = (error: unknown): boolean =>
  isOutage(error) || ['unavailable', 'cancelled', 'deadline-exceeded'].includes(codeOf(error));

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
): AsyncGenerator<Signature | Fault> {
  const what = `signatures ${tag}`;
  const layers = objectsField(parseObject(document.bytes, what), 'layers', what) ?? [];
  const descriptors = layers
    .map((layer, i) => readDescriptor(layer, `${what}: layers[${i}]`))
    .filter(({ mediaType }) => mediaType === payloadType || isBundleType(mediaType));
  if (descriptors.length > mostSignatures)
    throw new BerthError('resource-exhausted', `${what}: ${descriptors.length} of them, at most ${mostSignatures}`);
  for (const descriptor of descriptors) {
    if (descriptor.size > longestPayload) continue;
    yield* tolerant(() =>
      isBundleType(descriptor.mediaType)
        ? bundledSignatures(source, descriptor, what, signal)
        : simpleSignature(source, descriptor, what, signal),
    );
  }
}

async function* bundledSignatures(
  source: Source,
  descriptor: Descriptor,
  what: string,
  signal: AbortSignal,
): AsyncGenerator<Signature> {
  yield* signaturesInBundle(await payloadOf(source, descriptor, what, signal));
}

async function* simpleSignature(
  source: Source,
  descriptor: Descriptor,
  what: string,
  signal: AbortSignal,
): AsyncGenerator<Signature> {
  const text = descriptor.annotations[annotation] ?? '';
  if (text === '' || text.length > longestSignature) return;
  const signed = await payloadOf(source, descriptor, what, signal);
  yield { signed, signature: Buffer.from(text, 'base64'), claim: () => parseSimpleClaim(signed) };
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
