import { text } from 'node:stream/consumers';
import { UsageError } from './context.ts';

const passwordLimit = 1 << 16;

/** Options of a verb that logs in to a registry, for `parse`. */
export const loginOptions = {
  user: { type: 'string', short: 'u', default: '' },
  'password-stdin': { type: 'boolean', default: false },
} as const;

export const loginHelp: readonly (readonly [string, string])[] = [
  ['-u, --user NAME', 'log in to the registry as NAME'],
  ['--password-stdin', 'read the password from standard input'],
];

/** Never an argument: others can read those. Empty without --user. */
export const readPassword = async (values: {
  readonly user: string;
  readonly 'password-stdin': boolean;
}): Promise<string> => {
  if ((values.user === '') === values['password-stdin'])
    throw new UsageError('--user and --password-stdin belong together');
  if (!values['password-stdin']) return '';
  const given = (await text(process.stdin)).replace(/\r?\n$/, '');
  if (given === '' || given.length > passwordLimit) throw new UsageError('--password-stdin: no password on stdin');
  return given;
};
