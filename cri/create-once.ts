import { sha256 } from '../base/digest.ts';
import type { Runtime } from './runtime.ts';

/** What makes a create the same as another: whose it is, and the encoded configuration. */
export interface Wish {
  readonly key: string;
  readonly config: Uint8Array;
}

/**
 * Runs `create` unless the same one is in flight, which is joined (lesson A1). One with the same key and another
 * configuration waits for it: by then the first has its object, or has failed and left the key free.
 */
export const createOnce = (
  { creating, locks }: Pick<Runtime, 'creating' | 'locks'>,
  { key, config }: Wish,
  create: () => Promise<string>,
): Promise<string> => creating.join(`${key} ${sha256(config)}`, () => locks.run(`create ${key}`, create));
