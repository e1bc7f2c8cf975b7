import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { BerthError, codeOf, invalid } from '../../base/errors.ts';
import type { Helper } from '../types.ts';

/** As long as the kubelet gives its plugins. */
const timeoutMs = 60_000;

export interface ProgramRequest {
  readonly name: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly signal: AbortSignal;
}

export interface ProgramAnswer {
  /** 128 + signal when a signal ended it. */
  readonly code: number;
  /** Secret. */
  readonly stdout: Buffer;
}

/**
 * The programs that know credentials, in directories of the configuration. Each gets its stdin, PATH and HOME, what its
 * own configuration gives it, and nothing of the daemon's environment. What they print is secret: errors tell the
 * program, and how it ended, and nothing that it wrote.
 */
export class CredentialPrograms {
  readonly #helper: Helper;
  readonly #directories: readonly string[];

  constructor(helper: Helper, directories: readonly string[]) {
    this.#helper = helper;
    this.#directories = directories;
  }

  async run({ name, args, env, stdin, signal }: ProgramRequest): Promise<ProgramAnswer> {
    const path = await this.#find(name);
    const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', ...env };
    try {
      return await this.#helper.run({
        argv: [path, ...args],
        env: environment,
        stdin: Buffer.from(stdin),
        signal,
        timeoutMs,
        name: 'credential helper',
      });
    } catch (error) {
      throw new BerthError(codeOf(error), `${path}: ${why(error)}`);
    }
  }

  async #find(name: string): Promise<string> {
    if (!/^[\w][\w.-]*$/.test(name))
      throw invalid(`${JSON.stringify(name.slice(0, 100))} is not the name of a program`);
    for (const directory of this.#directories) {
      const path = join(directory, name);
      const isThere = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (isThere) return path;
    }
    throw new BerthError('not-found', `${name}: no such program in ${this.#directories.join(', ')}`);
  }
}

const why = (error: unknown): string =>
  codeOf(error) === 'deadline-exceeded'
    ? `not done in ${timeoutMs / 1000} s, killed`
    : `cannot be run (${codeOf(error)})`;
