import { invalid } from '../../base/errors.ts';
import { objectField, objectsField, parseObject, textField } from '../json.ts';
import { parseStatement } from './claim.ts';
import type { Signature } from './signatures.ts';

const what = 'bundle';
const payloadType = 'application/vnd.in-toto+json';
const mostSignatures = 8;

/** The type of sigstore's bundles, in any version. */
export const isBundleType = (mediaType: string): boolean =>
  /^application\/vnd\.dev\.sigstore\.bundle(?:\.v0\.\d+)?\+json(?:;version=0\.\d+)?$/.test(mediaType);

/**
 * The signatures in a sigstore bundle with a DSSE envelope. Certificates, logs and timestamps in it are not looked at: the
 * keys of the policy decide. Throws invalid-argument for what is none.
 */
export const signaturesInBundle = (bytes: Uint8Array): readonly Signature[] => {
  const bundle = parseObject(bytes, what);
  if (!isBundleType(textField(bundle, 'mediaType', what))) throw invalid(`${what}: mediaType is not that of a bundle`);
  const envelope = objectField(bundle, 'dsseEnvelope', what);
  if (envelope === undefined) throw invalid(`${what}: has no DSSE envelope`);
  if (textField(envelope, 'payloadType', what) !== payloadType)
    throw invalid(`${what}: payloadType is not ${payloadType}`);
  const payload = Buffer.from(textField(envelope, 'payload', what), 'base64');
  const signatures = objectsField(envelope, 'signatures', what) ?? [];
  if (signatures.length > mostSignatures) throw invalid(`${what}: more than ${mostSignatures} signatures`);
  return signatures.map((item) => ({
    signed: preAuthentication(payload),
    signature: Buffer.from(textField(item, 'sig', what), 'base64'),
    claim: () => parseStatement(payload),
  }));
};

/** What DSSE signs: lengths with the type and the payload, so that neither can be taken for the other. */
const preAuthentication = (payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]);
