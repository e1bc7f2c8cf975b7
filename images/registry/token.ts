import { BerthError, invalid, messageOf } from '../../base/errors.ts';
import { type JsonObject, parseObject, textField } from '../json.ts';
import type { Challenge } from './challenge.ts';
import { basicHeader, type Credentials, checkToken } from './credentials.ts';
import { failureOf, readWhole } from './reply.ts';
import { joinScopes } from './scopes.ts';
import type { Message, Reply, Sender } from './transport.ts';

const tokenLimit = 1 << 20;
/** What the token spec says of a token that does not tell its life. */
const defaultSeconds = 60;

/** An Authorization header, and how long it is good for: ms of `performance.now()`. */
export interface Grant {
  readonly header: string;
  readonly until: number;
}

export interface TokenJob {
  /** A `bearer` challenge of `host`. */
  readonly challenge: Challenge;
  readonly host: string;
  /** What is to be done, beside what the challenge asks for. */
  readonly scopes: readonly string[];
  /** Not `bearer`. */
  readonly credentials: Credentials;
  readonly signal: AbortSignal;
}

/**
 * Asks the challenge's realm for a token (distribution's token spec, RFC 6749). A password is shown by Basic, and by the
 * grant of that name where the realm knows no GET; an identity token by the refresh grant; nobody asks without either.
 */
export const fetchToken = async (sender: Sender, job: TokenJob): Promise<Grant> => {
  const realm = readRealm(job.challenge.parameters.get('realm') ?? '', job.host);
  const what = `token of ${realm.host} for ${job.host}`;
  const reply = await ask(sender, realm, job);
  if (reply.status !== 200) throw await failureOf(reply, what);
  const body = parsed(await readWhole(reply, tokenLimit, what), what);
  const token = textField(body, 'token', what) || textField(body, 'access_token', what);
  if (token === '') throw new BerthError('unauthenticated', `${what}: the answer has no token`);
  return { header: `Bearer ${checkToken(token, what)}`, until: performance.now() + lifeOf(body.expires_in) };
};

const parsed = (bytes: Buffer, what: string): JsonObject => {
  try {
    return parseObject(bytes, what);
  } catch {
    // The parser's error quotes what it has read.
    throw invalid(`${what}: not a JSON object`);
  }
};

const ask = async (sender: Sender, realm: URL, job: TokenJob): Promise<Reply> => {
  const { credentials, signal } = job;
  if (credentials.kind === 'identity')
    return sender.send(realm, form(job, { grant_type: 'refresh_token', refresh_token: credentials.token }));
  const reply = await sender.send(withFields(realm, job), { headers: basicOf(credentials), signal });
  if (credentials.kind !== 'password' || ![404, 405].includes(reply.status)) return reply;
  reply.discard();
  const { username, password } = credentials;
  return sender.send(realm, form(job, { grant_type: 'password', username, password }));
};

const basicOf = (credentials: Credentials): Record<string, string> =>
  credentials.kind === 'password' ? { authorization: basicHeader(credentials.username, credentials.password) } : {};

const serviceOf = ({ challenge }: TokenJob): Record<string, string> => {
  const service = challenge.parameters.get('service');
  return service === undefined ? {} : { service };
};

const scopesOf = ({ challenge, scopes }: TokenJob): readonly string[] =>
  joinScopes([...(challenge.parameters.get('scope') ?? '').split(' ').filter(Boolean), ...scopes]);

const withFields = (realm: URL, job: TokenJob): URL => {
  const url = new URL(realm);
  for (const [name, value] of Object.entries(serviceOf(job))) url.searchParams.append(name, value);
  for (const scope of scopesOf(job)) url.searchParams.append('scope', scope);
  return url;
};

/** RFC 6749 knows one scope field, whose parts are apart by spaces. */
const form = (job: TokenJob, grant: Record<string, string>): Message => {
  const fields = { ...grant, ...serviceOf(job), client_id: 'berth', scope: scopesOf(job).join(' ') };
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return { method: 'POST', headers, body: new URLSearchParams(fields).toString(), signal: job.signal };
};

/** In ms, a tenth less than told, so that a request does not end with the token. Not by `issued_at`: clocks differ. */
const lifeOf = (seconds: unknown): number =>
  (typeof seconds === 'number' && seconds > 0 ? seconds : defaultSeconds) * 900;

const readRealm = (text: string, host: string): URL => {
  try {
    const realm = new URL(text);
    realm.username = '';
    realm.password = '';
    return realm;
  } catch (error) {
    throw new BerthError('unauthenticated', `${host} names a token realm that is not a URL: ${messageOf(error)}`);
  }
};
