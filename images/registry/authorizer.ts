import { BerthError, messageOf } from '../../base/errors.ts';
import { parseObject, textField } from '../json.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { basicHeader, type Credentials, checkToken } from './credentials.ts';
import { failureOf, readWhole } from './reply.ts';
import type { Message, Reply, Sender } from './transport.ts';

const tokenLimit = 1 << 20;

/** Answers the challenges of one registry for one repository. Its header is for that registry's origin and no other. */
export class Authorizer {
  readonly #sender: Sender;
  readonly #credentials: Credentials;
  readonly #scope: string;
  #header: string | undefined;
  #renewal: Promise<string> | undefined;

  constructor(sender: Sender, credentials: Credentials, repository: string) {
    this.#sender = sender;
    this.#credentials = credentials;
    this.#scope = `repository:${repository}:pull`;
    if (credentials.kind === 'bearer') this.#header = `Bearer ${credentials.token}`;
  }

  /** The Authorization header to send, undefined before the first challenge. */
  get header(): string | undefined {
    return this.#header;
  }

  /** Gets a new header after `refused` got a 401. Layers that are refused at the same time share one request. */
  async renew(refused: string | undefined, reply: Reply, signal: AbortSignal): Promise<void> {
    if (this.#header !== refused) return;
    const challenges = parseChallenges(reply.headers['www-authenticate'] ?? '');
    this.#renewal ??= this.#answer(challenges, reply.url.host, signal).finally(() => {
      this.#renewal = undefined;
    });
    this.#header = await this.#renewal;
  }

  async #answer(challenges: readonly Challenge[], host: string, signal: AbortSignal): Promise<string> {
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer !== undefined && this.#credentials.kind !== 'bearer') return this.#fetchToken(bearer, host, signal);
    if (challenges.some(({ scheme }) => scheme === 'basic') && this.#credentials.kind === 'password')
      return basicHeader(this.#credentials.username, this.#credentials.password);
    const reason =
      this.#credentials.kind === 'none' ? 'it asks for credentials and none were given' : 'it refuses the credentials';
    throw new BerthError('unauthenticated', `${host} answers 401: ${reason}`);
  }

  async #fetchToken(challenge: Challenge, host: string, signal: AbortSignal): Promise<string> {
    const realm = readRealm(challenge.parameters.get('realm') ?? '', host);
    const what = `token of ${realm.host} for ${host}`;
    const { url, message } = this.#tokenRequest(realm, challenge, signal);
    const reply = await this.#sender.send(url, message);
    if (reply.status !== 200) throw await failureOf(reply, what);
    const body = parseObject(await readWhole(reply, tokenLimit, what), what);
    const token = textField(body, 'token', what) || textField(body, 'access_token', what);
    return `Bearer ${checkToken(token, what)}`;
  }

  /** A password is shown to the realm by Basic (docker's token spec); an identity token by the OAuth2 refresh grant. */
  #tokenRequest(realm: URL, challenge: Challenge, signal: AbortSignal): { url: URL; message: Message } {
    const fields = new URLSearchParams();
    const service = challenge.parameters.get('service');
    if (service !== undefined) fields.set('service', service);
    fields.set('scope', challenge.parameters.get('scope') ?? this.#scope);
    if (this.#credentials.kind === 'identity') return oauthRequest(realm, fields, this.#credentials.token, signal);
    const url = new URL(realm);
    for (const [name, value] of fields) url.searchParams.append(name, value);
    const { kind } = this.#credentials;
    const headers =
      kind === 'password' ? { authorization: basicHeader(this.#credentials.username, this.#credentials.password) } : {};
    return { url, message: { headers, signal } };
  }
}

const oauthRequest = (realm: URL, fields: URLSearchParams, token: string, signal: AbortSignal) => {
  fields.set('grant_type', 'refresh_token');
  fields.set('client_id', 'berth');
  fields.set('refresh_token', token);
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return { url: realm, message: { method: 'POST', headers, body: fields.toString(), signal } as const };
};

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
