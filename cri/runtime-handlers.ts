import { invalid } from '../base/errors.ts';

export const defaultHandler = 'berth';

/** The default runtime handler, with and without its name. */
export const handlers: readonly string[] = ['', defaultHandler];

/** `action` is the RPC. Throws `invalid-argument` for a handler that is not known. */
export const checkHandler = (action: string, handler: string): void => {
  if (!handlers.includes(handler))
    throw invalid(`${action}: runtime_handler ${JSON.stringify(handler.slice(0, 80))} is not known`);
};
