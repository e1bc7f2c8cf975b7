import { BerthError } from '../../base/errors.ts';
import { parseObject, textField } from '../json.ts';
import type { CredentialPrograms } from './credential-program.ts';
import { type Credentials, checkToken } from './credentials.ts';

/** What the helpers print, with an exit code, when they have nothing for the host (docker/docker-credential-helpers). */
const notThere = /^credentials not found in native keychain\s*$/;
/** The user name that stands for an identity token. */
const tokenUser = '<token>';

/** Asks `docker-credential-NAME get` for the host; `none` when it has nothing. Errors hold no secret. */
export const askHelper = async (
  programs: CredentialPrograms,
  name: string,
  host: string,
  signal: AbortSignal,
): Promise<Credentials> => {
  const program = `docker-credential-${name}`;
  // Docker knows its Hub by the address of its first API.
  const server = host === 'docker.io' ? 'https://index.docker.io/v1/' : host;
  const { code, stdout } = await programs.run({ name: program, args: ['get'], stdin: server, signal });
  if (notThere.test(stdout.toString('utf8'))) return { kind: 'none' };
  if (code !== 0)
    throw new BerthError('unavailable', `${program}: ends with ${code}; see: echo ${server} | ${program} get`);
  const [username, secret] = read(stdout, program);
  if (secret === '') return { kind: 'none' };
  if (username === tokenUser) return { kind: 'identity', token: checkToken(secret, `the token of ${program}`) };
  return { kind: 'password', username, password: secret };
};

const read = (stdout: Buffer, program: string): readonly [string, string] => {
  try {
    const body = parseObject(stdout, program);
    return [textField(body, 'Username', program), textField(body, 'Secret', program)];
  } catch {
    // The parser's error quotes what it has read.
    throw new BerthError('unavailable', `${program}: its answer is no JSON object with Username and Secret`);
  }
};
