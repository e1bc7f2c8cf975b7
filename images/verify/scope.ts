import { formatReference, type Reference } from '../reference.ts';
import type { Policy, Requirement } from './policy.ts';

/** The requirements for an image, and the scope that has them, for errors. All of them have to hold. */
export const requirementsFor = (
  policy: Policy,
  reference: Reference,
): { readonly scope: string; readonly requirements: readonly Requirement[] } => {
  for (const scope of scopesOf(reference)) {
    const requirements = policy.scopes.get(scope);
    if (requirements !== undefined) return { scope: scope === '' ? 'docker' : scope, requirements };
  }
  return { scope: 'default', requirements: policy.otherwise };
};

/** Narrowest first: the image, its repository, each namespace, the registry, the domains that it is in, all registries. */
const scopesOf = (reference: Reference): readonly string[] => {
  const { host, repository } = reference;
  const scopes = [formatReference(reference)];
  const parts = repository.split('/');
  for (let count = parts.length; count > 0; count -= 1) scopes.push([host, ...parts.slice(0, count)].join('/'));
  scopes.push(host);
  // A domain is of all ports (containers-policy.json(5)), and with a port of that one alone.
  const [, name = host, port = ''] = /^([^:[]+)(:\d+)$/.exec(host) ?? [];
  const labels = name.split('.');
  for (let at = 1; at < labels.length; at += 1) {
    const domain = `*.${labels.slice(at).join('.')}`;
    scopes.push(...new Set([`${domain}${port}`, domain]));
  }
  return [...scopes, ''];
};

const host =
  /^(?:(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]+\])(?::\d{1,5})?$/;
const path = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const end = /(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$/;

/** What is wrong with a scope, or undefined. One that could never match is an error: it would protect nothing. */
export const problemOfScope = (scope: string): string | undefined => {
  if (scope === '') return undefined;
  if (scope.startsWith('*.')) return host.test(scope.slice(2)) ? undefined : 'is not "*." and a domain';
  const [first = '', ...rest] = scope.split('/');
  if (!host.test(first)) return 'does not begin with a registry as host or host:port, in lower case';
  if (!/[.:[]/.test(first) && first !== 'localhost')
    return `begins with no registry: images of Docker Hub are docker.io/${rest.length === 0 ? `library/${first}` : scope}`;
  if (rest.length === 0) return undefined;
  if (first === 'docker.io' && rest.length === 1 && end.test(scope)) return 'lacks "library/"';
  if (first === 'index.docker.io') return 'is called docker.io';
  const last = rest.pop()?.replace(end, '') ?? '';
  return [...rest, last].every((part) => path.test(part)) ? undefined : 'is not a namespace, repository or image';
};
