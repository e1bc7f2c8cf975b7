import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const read = (path: string): string => (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;

/** The package's version; compiled files are two directories below package.json. */
export const version = read(join(import.meta.dirname, '../../package.json'));
