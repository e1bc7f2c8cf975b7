import { invalid } from '../base/errors.ts';
import type { Config } from './config/index.ts';

export const defaultHandler = 'berth';

type Named = { readonly config: Pick<Config, 'runtime_handlers'> };

/** The one there is: without a name, with its own, and with those that a node's RuntimeClasses have for it. */
export const handlersOf = ({ config }: Named): readonly string[] => [
  ...new Set(['', defaultHandler, ...config.runtime_handlers]),
];

/** `action` is the RPC. Throws `invalid-argument` for a handler that is not known. */
export const checkHandler = (runtime: Named, action: string, handler: string): void => {
  if (!handlersOf(runtime).includes(handler))
    throw invalid(`${action}: runtime_handler ${JSON.stringify(handler.slice(0, 80))} is not known`);
};
