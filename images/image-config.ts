import { type Digest, isDigest, sha256 } from '../base/digest.ts';
import { invalid } from '../base/errors.ts';
import { objectField, parseObject, textField, textsField } from './json.ts';
import { readPlatform } from './manifest.ts';
import { readConfig } from './records/stored.ts';
import type { ImageConfig, Platform } from './types.ts';

/** An OCI image configuration document, `application/vnd.oci.image.config.v1+json`. */
export interface ConfigDocument {
  readonly platform: Platform;
  readonly config: ImageConfig;
  /** Lowest layer first. */
  readonly diffIds: readonly Digest[];
}

/** It is told in every list; a user and a group of Linux have 32 characters each. */
const longestUser = 1024;

export const parseConfig = (bytes: Uint8Array, what: string): ConfigDocument => {
  const document = parseObject(bytes, what);
  const rootfs = objectField(document, 'rootfs', what);
  if (rootfs === undefined || textField(rootfs, 'type', what) !== 'layers')
    throw invalid(`${what}: rootfs is not of type "layers"`);
  const diffIds = textsField(rootfs, 'diff_ids', what);
  const config = readConfig(objectField(document, 'config', what) ?? {}, `${what}: config`);
  if ((config.User ?? '').length > longestUser)
    throw invalid(`${what}: config: User is longer than ${longestUser} characters`);
  return {
    platform: readPlatform(document, what),
    config,
    diffIds: diffIds.map((text) => checkDiffId(text, what)),
  };
};

const checkDiffId = (text: string, what: string): Digest => {
  if (!isDigest(text) || !text.startsWith('sha256:'))
    throw invalid(`${what}: diff_id ${JSON.stringify(text.slice(0, 160))} is not sha256:<64 hex>`);
  return text;
};

/** The ChainID of each layer with all below it (OCI image spec, config.md, Layer ChainID), lowest first. */
export const chainIds = (diffIds: readonly Digest[]): readonly Digest[] => {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : sha256(`${below} ${diffId}`));
  }
  return chain;
};
