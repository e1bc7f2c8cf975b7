import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { invalid, messageOf } from '../../base/errors.ts';

const leastBits = 2048;
const curve = 'prime256v1';

/** A public key as `cosign public-key` and openssl write it: ECDSA P-256, RSA of 2048 bits or more, ed25519. */
export const readKey = (pem: string): KeyObject => {
  if (/PRIVATE KEY/.test(pem)) throw invalid('is a private key: it has no business on a node');
  const blocks = pem.match(/-----BEGIN [A-Z ]+-----/g) ?? [];
  if (blocks.length !== 1 || blocks[0] !== '-----BEGIN PUBLIC KEY-----')
    throw invalid('is not one public key in PEM ("-----BEGIN PUBLIC KEY-----")');
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (error) {
    throw invalid(`is not a public key: ${messageOf(error)}`);
  }
  checkKind(key);
  return key;
};

const checkKind = ({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): void => {
  if (type === 'ed25519') return;
  if (type === 'ec' && details?.namedCurve === curve) return;
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= leastBits) return;
  const found = [type, details?.namedCurve, details?.modulusLength].filter((part) => part !== undefined).join(' ');
  throw invalid(`is of the kind ${found}; ECDSA P-256, RSA of ${leastBits} bits or more and ed25519 are supported`);
};

/** Whether the key made the signature: SHA-256 with ECDSA (DER) or RSA PKCS #1 v1.5, and ed25519, as cosign signs. */
export const isSignedBy = (key: KeyObject, payload: Buffer, signature: Buffer): boolean => {
  try {
    return verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', payload, key, signature);
  } catch {
    return false;
  }
};
