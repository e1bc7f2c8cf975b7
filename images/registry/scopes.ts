/**
 * Scopes as the distribution's token spec writes them, `repository:NAME:ACTION[,ACTION]`, joined: one a resource with all
 * of its actions. What is not of that form stays as it is.
 */
export const joinScopes = (scopes: readonly string[]): readonly string[] => {
  const actions = new Map<string, Set<string>>();
  for (const scope of scopes) {
    // The name may have a colon: a registry's port.
    const [, resource = scope, list = ''] = /^([^:]+:.+):([^:]*)$/.exec(scope) ?? [];
    const known = actions.get(resource) ?? new Set();
    for (const action of list.split(',').filter(Boolean)) known.add(action);
    actions.set(resource, known);
  }
  return [...actions].map(([resource, known]) => (known.size === 0 ? resource : `${resource}:${[...known].join(',')}`));
};

export const pullScope = (repository: string): string => `repository:${repository}:pull`;
/** For uploads; a cross-repository mount needs `pullScope` of the other repository as well. */
export const pushScope = (repository: string): string => `repository:${repository}:pull,push`;
