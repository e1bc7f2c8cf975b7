import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { invalid, within } from '../../base/errors.ts';
import { loadPolicy } from './load.ts';
import type { Policy } from './policy.ts';

/** The policy that decides, and the key by which it is remembered what it has let in: a namespace, or "" for the node's. */
export interface Deciding {
  readonly key: string;
  /** Undefined: all may come in. */
  readonly policy: Policy | undefined;
}

/** The node's policy, and those of Kubernetes namespaces that have one of their own, which then decides alone (as CRI-O's). */
export class Policies {
  readonly #node: Policy | undefined;
  readonly #namespaces: ReadonlyMap<string, Policy>;

  constructor(node: Policy | undefined, namespaces: ReadonlyMap<string, Policy> = new Map()) {
    this.#node = node;
    this.#namespaces = namespaces;
  }

  /** For a pod's namespace; undefined or "" is nobody's. */
  of(namespace: string | undefined): Deciding {
    const own = namespace === undefined ? undefined : this.#namespaces.get(namespace);
    return own === undefined ? { key: '', policy: this.#node } : { key: namespace ?? '', policy: own };
  }
}

/** One that is not there is an error: its policies would not hold. */
const list = async (directory: string): Promise<readonly string[]> => {
  try {
    return await readdir(directory);
  } catch (error) {
    throw within(`read ${directory}`, error);
  }
};

/** A DNS label, as Kubernetes has namespaces. */
const namespaceFile = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.json$/;

/**
 * Reads the policy at `path` and the `NAMESPACE.json` in `directory`; "" for none. Throws invalid-argument that names the file and the
 * place in it, also for a file that is no namespace's: it would protect nothing.
 */
export const loadPolicies = async (path: string, directory: string): Promise<Policies> => {
  const node = path === '' ? undefined : await loadPolicy(path);
  const namespaces = new Map<string, Policy>();
  // What begins with a dot is how volumes and editors keep their own.
  const files = directory === '' ? [] : (await list(directory)).filter((name) => !name.startsWith('.'));
  for (const file of files.toSorted()) {
    const namespace = namespaceFile.exec(file)?.[1];
    if (namespace === undefined) throw invalid(`${join(directory, file)}: is not NAMESPACE.json`);
    namespaces.set(namespace, await loadPolicy(join(directory, file)));
  }
  return new Policies(node, namespaces);
};
