import type { Candidate, Candidates, Keyring } from './keyring.ts';

/** The credentials for one repository of one host, looked up when they are first needed, and which of them is in use. */
export class Wallet {
  readonly #keyring: Keyring;
  readonly #host: string;
  readonly #repository: string;
  #lookUp: Promise<Candidates> | undefined;
  #found: Candidates | undefined;
  #at = 0;

  constructor(keyring: Keyring, host: string, repository: string) {
    this.#keyring = keyring;
    this.#host = host;
    this.#repository = repository;
  }

  /** Undefined: there are none, nobody asks. */
  async current(signal: AbortSignal): Promise<Candidate | undefined> {
    this.#lookUp ??= this.#keyring.credentialsFor(this.#host, this.#repository, signal);
    try {
      this.#found = await this.#lookUp;
    } catch (error) {
      this.#lookUp = undefined;
      throw error;
    }
    return this.#found.list[this.#at];
  }

  /** Goes on to the next when `refused` is in use; false when it is the last. */
  reject(refused: Candidate | undefined): boolean {
    const list = this.#found?.list ?? [];
    if (list[this.#at] !== refused) return true;
    if (this.#at + 1 >= list.length) return false;
    this.#at += 1;
    return true;
  }

  /** Why a registry that asks for credentials does not get better ones. */
  get lack(): string {
    const { list = [], problems = [] } = this.#found ?? {};
    const sources = list.slice(0, this.#at + 1).map(({ source }) => source);
    const refused = `it refuses the credentials of ${sources.join(', and of ')}`;
    const lack = list.length === 0 ? 'it asks for credentials and none were given' : refused;
    return [lack, ...problems].join('; ');
  }
}
