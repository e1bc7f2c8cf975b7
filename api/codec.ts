import { within } from '../base/errors.ts';
import { decodeMessage } from './decode.ts';
import { encodeMessage } from './encode.ts';
import type { Input, Messages } from './generated/types.ts';
import { messageType } from './schema.ts';

export type MessageName = keyof Messages;

/** The message's bytes. A field that is left out or undefined has its default. */
export const encode = <Name extends MessageName>(name: Name, value: Input<Messages[Name]>): Buffer =>
  encodeMessage(messageType(name), value);

/**
 * The message with every field there: defaults for scalars, `undefined` for a missing message, bigint for 64 bits.
 * Throws `invalid-argument` for bytes that are not this message, for a string that is not UTF-8 and for an enum value
 * that has no name here: what Berth does not know it must not take for the default, since many enums grant rights.
 */
export const decode = <Name extends MessageName>(name: Name, bytes: Uint8Array): Messages[Name] => {
  try {
    return decodeMessage(messageType(name), bytes) as unknown as Messages[Name];
  } catch (error) {
    throw within(`decode ${name}`, error);
  }
};
