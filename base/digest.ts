import { createHash, randomBytes } from 'node:crypto';
import { invalid } from './errors.ts';

/** `sha256:<64 hex>`; sha512 is read as well, as the image spec registers it. */
export type Digest = string & { readonly digest: unique symbol };

const pattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** What errors say that a digest is. */
export const digestForms = 'sha256:<64 hex> or sha512:<128 hex>';

export const isDigest = (text: string): text is Digest => pattern.test(text);

export const parseDigest = (text: string): Digest => {
  if (!isDigest(text)) throw invalid(`digest ${JSON.stringify(text.slice(0, 160))}: not ${digestForms}`);
  return text;
};

export const digestParts = (digest: Digest): { readonly algorithm: 'sha256' | 'sha512'; readonly hex: string } => {
  const [algorithm, hex] = digest.split(':') as ['sha256' | 'sha512', string];
  return { algorithm, hex };
};

export const sha256 = (data: string | Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(data).digest('hex')}` as Digest;

/** A new object id: 64 hex characters, as every CRI client expects. */
export const newId = (): string => randomBytes(32).toString('hex');

export const isId = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);
