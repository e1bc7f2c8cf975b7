import { BerthError, messageOf } from '../base/errors.ts';
import { UsageError } from './context.ts';

/** One or two lines for a person: what failed, and what to do where that is known. */
export const inWords = (error: unknown, address: string): string => {
  if (error instanceof UsageError) return error.message;
  const message = messageOf(error);
  if (!(error instanceof BerthError) || error.code !== 'unavailable') return message;
  if (/ENOENT|ECONNREFUSED/.test(message))
    return `nobody answers on ${address}: is berthd running? (another address: --address or BERTH_ADDRESS)`;
  if (/EACCES|EPERM/.test(message)) return `no right to use ${address}: only root may; try sudo`;
  return message;
};
