import { resolve } from 'node:path';
import type { Raw } from './toml.ts';
import {
  allCapabilities,
  booleanOf,
  type Capability,
  capabilitiesOf,
  durationOf,
  type PairPaths,
  pairsOf,
  pathsOf,
} from './values.ts';

/** Where a file is named: `…/hosts.toml:7: ca`, for errors that are only seen when it is read. */
export interface Named<T> {
  readonly where: string;
  readonly value: T;
}

/** One host as its table says, or the registry itself as the keys above all tables say. */
export interface HostTable {
  /** The API's root; undefined: that of the registry that the image's name has. */
  readonly base: URL | undefined;
  readonly capabilities: ReadonlySet<Capability>;
  /** Absolute paths. */
  readonly ca: readonly Named<string>[];
  readonly client: readonly Named<PairPaths>[];
  readonly skipVerify: boolean;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly dialMs: number | undefined;
}

/** A table while it is read. */
export type Draft = { -readonly [K in keyof HostTable]: HostTable[K] };
type Reader = (draft: Draft, value: Raw, where: string, directory: string) => void;

const named = <T>(where: string, value: T): Named<T> => ({ where, value });

/** The keys that are values, by their names. */
export const readers: Readonly<Record<string, Reader>> = {
  capabilities: (draft, value) => {
    draft.capabilities = capabilitiesOf(value);
  },
  ca: (draft, value, where, directory) => {
    draft.ca = pathsOf(value).map((path) => named(where, resolve(directory, path)));
  },
  client: (draft, value, where, directory) => {
    draft.client = pairsOf(value).map(({ certificate, key }) =>
      named(where, { certificate: resolve(directory, certificate), key: resolve(directory, key) }),
    );
  },
  skip_verify: (draft, value) => {
    draft.skipVerify = booleanOf(value);
  },
  dial_timeout: (draft, value) => {
    draft.dialMs = durationOf(value);
  },
  // Read before the others: it decides what the URL means.
  override_path: (_draft, value) => void booleanOf(value),
};

/** What is said of a host that nothing is said of. */
export const plainTable: HostTable = {
  base: undefined,
  capabilities: allCapabilities,
  ca: [],
  client: [],
  skipVerify: false,
  headers: {},
  dialMs: undefined,
};
