import { BerthError } from '../../base/errors.ts';
import type { Keyring } from './keyring.ts';
import { failureOf } from './reply.ts';
import { joinScopes, pullScope } from './scopes.ts';
import { Session } from './session.ts';
import type { Message, Reply, Sender } from './transport.ts';
import { Wallet } from './wallet.ts';

/** Whose challenges are answered: `host` or `host:port`. */
export interface Subject {
  readonly host: string;
  readonly repository: string;
}

/** Refusals of one request that are answered: the first, one a credential, and one for a grant that ended meanwhile. */
const mostAnswers = 18;

/**
 * Sends requests to one registry for one repository and answers its challenges. Credentials are looked up when the
 * registry asks for some, and shown to it and to the token realm that it names; a request to another origin must not
 * come here (CVE-2020-15157). Of several credentials each is tried until one is taken, which is then kept to.
 */
export class Authorizer {
  readonly #sender: Sender;
  readonly #subject: Subject;
  readonly #wallet: Wallet;
  /** By scopes: one token for each set of them. */
  readonly #sessions = new Map<string, Session>();

  constructor(sender: Sender, keyring: Keyring, subject: Subject) {
    this.#sender = sender;
    this.#subject = subject;
    this.#wallet = new Wallet(keyring, subject.host, subject.repository);
  }

  /**
   * A request of any method. One that is refused is sent again with what the challenge asks for, so its body has to be
   * one that can be sent twice; a stream goes by `header` after a request with the same scopes (the POST that begins an
   * upload). `scopes`: what the request does, by default a pull; `pushScope(…)` for uploads, with `pullScope(other)` for a
   * mount. Throws `unauthenticated` when nothing helps against a 401; all other answers are the caller's to judge.
   */
  async send(url: URL, message: Message, scopes?: readonly string[]): Promise<Reply> {
    const session = this.#session(scopes);
    for (let answers = 0; ; answers += 1) {
      const used = await session.header(message.signal);
      const headers = used === undefined ? message.headers : { ...message.headers, authorization: used };
      const reply = await this.#sender.send(url, { ...message, headers });
      if (reply.status !== 401 && reply.status !== 403) {
        session.taken(used);
        return reply;
      }
      const isOver = answers === mostAnswers || !(await renewed(session, used, reply, message.signal));
      if (isOver && reply.status === 403) return reply;
      if (isOver) throw await this.#refusal(reply);
      reply.discard();
    }
  }

  /** The Authorization header for these scopes, renewed when its time is up; undefined before the first challenge. */
  header(scopes: readonly string[], signal: AbortSignal): Promise<string | undefined> {
    return this.#session(scopes).header(signal);
  }

  #session(scopes: readonly string[] = [pullScope(this.#subject.repository)]): Session {
    const key = joinScopes(scopes).toSorted().join(' ');
    const session = this.#sessions.get(key) ?? new Session(this.#sender, this.#wallet, this.#subject.host, scopes);
    this.#sessions.set(key, session);
    return session;
  }

  async #refusal(reply: Reply): Promise<BerthError> {
    const { message } = await failureOf(reply, this.#subject.repository);
    return new BerthError('unauthenticated', `${message}: ${this.#wallet.lack}`);
  }
}

/** When it fails nobody reads the reply any more, and its connection would be held for ever. */
const renewed = async (
  session: Session,
  used: string | undefined,
  reply: Reply,
  signal: AbortSignal,
): Promise<boolean> => {
  try {
    return await session.renew(used, reply, signal);
  } catch (error) {
    reply.discard();
    throw error;
  }
};
