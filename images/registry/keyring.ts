import type { Credentials } from './credentials.ts';

/** What can be shown to a registry, and where it comes from (`the request`, a file, a program), for errors. */
export interface Candidate {
  readonly credentials: Credentials;
  readonly source: string;
}

export interface Candidates {
  /** Best first: each is tried until one is taken. None: the registry is asked as nobody. */
  readonly list: readonly Candidate[];
  /** What could not be looked up, and why; told when the registry refuses. Never holds a secret. */
  readonly problems: readonly string[];
}

/** Where credentials are looked up. */
export interface Keyring {
  /**
   * The credentials for one repository (`library/busybox`) at the host (`host` or `host:port`) that is asked, mirror or
   * origin. Called when that host asks for credentials. What cannot be looked up is a problem in the answer, no error.
   */
  credentialsFor(host: string, repository: string, signal: AbortSignal): Promise<Candidates>;
}

export const nobody: Keyring = { credentialsFor: () => Promise.resolve({ list: [], problems: [] }) };

/** Those of the request where there are any for the host, else the node's. */
export const firstOf = (own: (host: string) => Credentials, node: Keyring): Keyring => ({
  credentialsFor: (host, repository, signal) => {
    const credentials = own(host);
    if (credentials.kind === 'none') return node.credentialsFor(host, repository, signal);
    return Promise.resolve({ list: [{ credentials, source: 'the request' }], problems: [] });
  },
});
