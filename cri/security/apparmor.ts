import { access, readFile } from 'node:fs/promises';
import { BerthError, messageOf, orMissing } from '../../base/errors.ts';
import { Flights } from '../../base/locks.ts';
import type { RunRequest, RunResult } from '../../shim/agent.ts';
import type { Log } from '../log.ts';
import { defaultProfile, defaultProfileName } from './apparmor-default.ts';

/** What a request asks for; `asked` tells whether the runtime's default was named, or nothing was. */
export type AppArmorChoice =
  | { readonly kind: 'unconfined' }
  | { readonly kind: 'runtime-default'; readonly asked: boolean }
  | { readonly kind: 'localhost'; readonly name: string };

/** The kernel has AppArmor and it is on. */
export const hasAppArmor = async (): Promise<boolean> => {
  const enabled = await orMissing(readFile('/sys/module/apparmor/parameters/enabled', 'utf8'));
  return enabled?.startsWith('Y') === true && (await isThere(profilesFile));
};

const profilesFile = '/sys/kernel/security/apparmor/profiles';
const parsers = ['/usr/sbin/apparmor_parser', '/sbin/apparmor_parser'];
/** The oldest set of rules that all current parsers know. */
const abi = 'abi/3.0';

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Which profiles are in the kernel, and the one of our own. */
export class AppArmor {
  readonly #runner: { run(request: RunRequest): Promise<RunResult> };
  readonly #log: Log;
  readonly #loading = new Flights<boolean>();
  #wasLoaded = false;
  #hasWarned = false;

  constructor(runner: { run(request: RunRequest): Promise<RunResult> }, log: Log) {
    this.#runner = runner;
    this.#log = log;
  }

  /**
   * The profile for `process.apparmorProfile`; undefined: the container runs unconfined. Errors: `failed-precondition`
   * for one that is not loaded. On a node without apparmor_parser only a container that asked for a profile is refused.
   */
  async profileOf(choice: AppArmorChoice): Promise<string | undefined> {
    if (choice.kind === 'unconfined') return undefined;
    if (choice.kind === 'localhost') return loaded(choice.name);
    if (await this.#hasDefault()) return defaultProfileName;
    if (!choice.asked) return undefined;
    throw new BerthError(
      'failed-precondition',
      `apparmor: profile ${defaultProfileName} is not loaded, and ${parsers[0]} is missing`,
    );
  }

  /** Once a daemon's life, so that an older Berth's is replaced; and again when somebody has taken it out. */
  async #hasDefault(): Promise<boolean> {
    if (this.#wasLoaded && (await names()).has(defaultProfileName)) return true;
    this.#wasLoaded = await this.#loading.join('', () => this.#load());
    return this.#wasLoaded;
  }

  async #load(): Promise<boolean> {
    const parser = await findParser();
    if (parser === undefined) return this.#withoutParser();
    const text = defaultProfile(await ownProfile(), (await isThere(`/etc/apparmor.d/${abi}`)) ? abi : undefined);
    const ended = await this.#runner.run({
      argv: [parser, '--replace', '--skip-cache'],
      stdin: Buffer.from(text),
      timeoutMs: 60_000,
      name: 'apparmor_parser',
    });
    if (ended.code === 0) return true;
    const cause = ended.stderr.toString('utf8').trim().slice(0, 1000) || `ended with ${ended.code}`;
    throw new BerthError('failed-precondition', `apparmor: load profile ${defaultProfileName}: ${cause}`);
  }

  async #withoutParser(): Promise<boolean> {
    const isLoaded = (await names()).has(defaultProfileName);
    if (isLoaded || this.#hasWarned) return isLoaded;
    this.#hasWarned = true;
    this.#log.warn({}, `AppArmor: ${parsers[0]} is missing, containers that ask for no profile run without one`);
    return false;
  }
}

const findParser = async (): Promise<string | undefined> => {
  const found = await Promise.all(parsers.map(isThere));
  return parsers.find((_, index) => found[index]);
};

const loaded = async (name: string): Promise<string> => {
  if ((await names()).has(name)) return name;
  throw new BerthError('failed-precondition', `apparmor: profile ${JSON.stringify(name)} is not loaded on this node`);
};

/** A line is `NAME (MODE)`, and a name may have blanks. */
const names = async (): Promise<ReadonlySet<string>> => {
  const text = await readFile(profilesFile, 'utf8').catch((error: unknown) => {
    throw new BerthError('failed-precondition', `apparmor: ${profilesFile}: ${messageOf(error)}`);
  });
  return new Set(text.split('\n').map((line) => line.replace(/ \([a-z]+\)$/, '')));
};

/** `NAME (enforce)`, or `unconfined`. A name that the rules' grammar could not hold counts as unconfined. */
const ownProfile = async (): Promise<string> => {
  const text = (await orMissing(readFile('/proc/self/attr/apparmor/current', 'utf8'))) ?? '';
  const [name = ''] = text.trim().split(' ');
  return /^[\w./-]+$/.test(name) ? name : 'unconfined';
};
