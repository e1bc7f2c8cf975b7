import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BerthError } from '../base/errors.ts';

/** The package's version; the compiled file lies two directories below package.json, the source one. */
const readVersion = (): string => {
  const here = dirname(fileURLToPath(import.meta.url));
  for (const up of ['..', '../..'])
    try {
      const { version } = JSON.parse(readFileSync(join(here, up, 'package.json'), 'utf8')) as { version: string };
      return version;
    } catch {}
  throw new BerthError('internal', `package.json is not found above ${here}: the installation is not whole`);
};

export const version: string = readVersion();
