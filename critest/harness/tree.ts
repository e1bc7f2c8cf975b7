import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The project's directory: this file runs from build/critest/harness/. */
export const sourceTree = ((): string => {
  for (let at = import.meta.dirname; at !== '/'; at = dirname(at)) if (existsSync(join(at, 'package.json'))) return at;
  throw new Error(`no package.json above ${import.meta.dirname}`);
})();

export const buildTree = join(sourceTree, 'build');
