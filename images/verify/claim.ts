import { type Digest, isDigest } from '../../base/digest.ts';
import { invalid } from '../../base/errors.ts';
import { isObject, objectField, objectsField, parseObject, textField } from '../json.ts';

/** What a signature says that it signs. */
export interface Claim {
  readonly digests: readonly Digest[];
  /** `host/repository`, with a tag where the signer gave one; undefined where the format has no place for a name. */
  readonly name: string | undefined;
}

const what = 'payload';
const types = ['cosign container image signature', 'atomic container signature'];

/** The simple signing format of containers, as cosign wrote it up to its bundles. */
export const parseSimpleClaim = (payload: Uint8Array): Claim => {
  const critical = objectField(parseObject(payload, what), 'critical', what);
  if (critical === undefined) throw invalid(`${what}: has no critical part`);
  const strange = Object.keys(critical).find((key) => !['identity', 'image', 'type'].includes(key));
  if (strange !== undefined) throw invalid(`${what}: critical.${strange} is not known`);
  if (!types.includes(textField(critical, 'type', what)))
    throw invalid(`${what}: critical.type is not that of an image`);
  const digest = textField(objectField(critical, 'image', what) ?? {}, 'docker-manifest-digest', what);
  if (!isDigest(digest)) throw invalid(`${what}: docker-manifest-digest is not a digest`);
  const name = textField(objectField(critical, 'identity', what) ?? {}, 'docker-reference', what);
  return { digests: [digest], name };
};

const statementTypes = ['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1'];
/** The predicate of an image's signature; the same key may have signed statements that say the worst of the image. */
export const signaturePredicate = 'https://sigstore.dev/cosign/sign/v1';

/** An in-toto statement that an image is signed, as cosign puts it into a bundle. */
export const parseStatement = (payload: Uint8Array): Claim => {
  const statement = parseObject(payload, what);
  if (!statementTypes.includes(textField(statement, '_type', what))) throw invalid(`${what}: is no in-toto statement`);
  const predicate = textField(statement, 'predicateType', what);
  if (predicate !== signaturePredicate)
    throw invalid(`${what}: says ${JSON.stringify(predicate.slice(0, 100))}, not that the image is signed`);
  const digests = (objectsField(statement, 'subject', what) ?? []).flatMap(({ digest }) =>
    isObject(digest) ? Object.entries(digest).map(([algorithm, hex]) => `${algorithm}:${hex}`) : [],
  );
  return { digests: digests.filter(isDigest), name: undefined };
};
