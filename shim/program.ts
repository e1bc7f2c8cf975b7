import { access, constants } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BerthError } from '../base/errors.ts';

/** In a run's argv[0]: the agent's own sealed copy of berth-shim. */
export const SELF = 'berth-shim';

/** The native program: in shim/native beside the compiled modules' folders, or where BERTH_SHIM says. */
export const shimProgram = async (): Promise<string> => {
  const here = dirname(fileURLToPath(import.meta.url));
  const program = process.env.BERTH_SHIM ?? join(here, '../shim/native/berth-shim');
  try {
    await access(program, constants.X_OK);
  } catch (error) {
    throw new BerthError('failed-precondition', `${program}: cannot be executed; build it with npm run build`, {
      cause: error,
    });
  }
  return program;
};
