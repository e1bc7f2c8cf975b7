import { BerthError, messageOf } from '../base/errors.ts';
import { UsageError } from './context.ts';

/** One or two lines for a person: what failed, and what to do where that is known. */
export const inWords = (error: unknown, address: string): string => {
  if (error instanceof UsageError) return error.message;
  const message = messageOf(error);
  if (!(error instanceof BerthError) || error.code !== 'unavailable') return message;
  // as api/client.ts says it; what the daemon could not reach itself, a registry or a port, is in its own words
  const [, cause] = /^[A-Z]\w+: connect to \/\S*: (E[A-Z]+)$/.exec(message) ?? [];
  if (cause === 'ENOENT' || cause === 'ECONNREFUSED')
    return `nobody answers on ${address}: is berthd running? (another address: --address or BERTH_ADDRESS)`;
  if (cause === 'EACCES' || cause === 'EPERM') return `no right to use ${address}: only root may; try sudo`;
  return message;
};
