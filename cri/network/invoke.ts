import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BerthError, codeOf, type ErrorCode, messageOf, orMissing } from '../../base/errors.ts';
import type { PluginConf } from './conflist.ts';
import { asObject, type JsonObject, parseJson } from './json.ts';
import type { Command, OnPluginCall, PluginOutput, PluginRunner } from './types.ts';

export type { Command };

/** What CNI_* says of an attachment. */
export interface AttachmentParameters {
  readonly sandboxId: string;
  /** "" where the namespace is gone: only DEL may do that. */
  readonly netnsPath: string;
  readonly ifName: string;
  readonly args: string;
  /** "": no lock. */
  readonly lockPath: string;
}

export interface PluginCall {
  readonly command: Command;
  readonly plugin: string;
  readonly stdin: JsonObject;
  readonly attachment?: AttachmentParameters;
  readonly signal?: AbortSignal;
}

/** Milliseconds. A hung plugin ends here even when the caller has no deadline. */
const timeouts: Readonly<Record<Command, number>> = {
  ADD: 120_000,
  DEL: 60_000,
  CHECK: 30_000,
  GC: 60_000,
  STATUS: 10_000,
  VERSION: 10_000,
};

/** Plugins start iptables, ip and the like by name. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const isExecutable = async (file: string): Promise<boolean> => {
  const info = await orMissing(stat(file)).catch(() => undefined);
  if (info?.isFile() !== true) return false;
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
};

/** Where the plugin's program is; undefined when no directory has it. */
export const findPlugin = async (type: string, binDirs: readonly string[]): Promise<string | undefined> => {
  for (const directory of binDirs) {
    const file = join(directory, type);
    if (await isExecutable(file)) return file;
  }
  return undefined;
};

/** The request configuration of one plugin (spec, "Deriving request configuration"). */
export const requestConfig = (
  network: { readonly name: string; readonly cniVersion: string },
  plugin: PluginConf,
  added: JsonObject,
): JsonObject => {
  const reserved = (key: string) =>
    key === 'capabilities' || key === 'runtimeConfig' || key === 'prevResult' || key.startsWith('cni.dev/');
  const own = Object.fromEntries(Object.entries(plugin.raw).filter(([key]) => !reserved(key)));
  return { ...own, name: network.name, cniVersion: network.cniVersion, ...added };
};

const printable = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('utf8')
    .replaceAll(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, 500);

/** Section 5: 11 asks for another try, 50 and 51 say that the plugin cannot serve now. */
const codeFor = (code: number): ErrorCode => (code === 11 || code === 50 || code === 51 ? 'unavailable' : 'internal');

const pluginSays = (stdout: Uint8Array, where: string): BerthError | undefined => {
  try {
    const error = asObject(parseJson(Buffer.from(stdout).toString('utf8'), where), where);
    const { code, msg, details } = error;
    if (typeof code !== 'number') return undefined;
    const text = [msg, details].filter((part) => typeof part === 'string' && part !== '').join('; ');
    return new BerthError(codeFor(code), `${where}: ${printable(Buffer.from(text))} (CNI error ${code})`);
  } catch {
    return undefined;
  }
};

const failure = (output: PluginOutput, where: string): BerthError => {
  const said = pluginSays(output.stdout, where);
  if (said !== undefined) return said;
  const end = output.signal !== 0 ? `ended by signal ${output.signal}` : `exit status ${output.code}`;
  const text = printable(output.stderr) || printable(output.stdout) || 'it said nothing';
  return new BerthError('internal', `${where}: ${end}: ${text}`);
};

export class Invoker {
  readonly #runner: PluginRunner;
  readonly binDirs: readonly string[];
  readonly #onCall: OnPluginCall;

  constructor(runner: PluginRunner, binDirs: readonly string[], onCall: OnPluginCall = () => undefined) {
    this.#runner = runner;
    this.binDirs = binDirs;
    this.#onCall = onCall;
  }

  /** Waits for a call that an earlier daemon, or a cancelled one, left behind; then ends it. */
  endOrphan(lockPath: string, waitMs: number): Promise<void> {
    return this.#runner.endHolder(lockPath, waitMs);
  }

  /** One plugin, one command. The answer's JSON, undefined when it is empty. Errors name plugin, command and sandbox. */
  async call(call: PluginCall): Promise<JsonObject | undefined> {
    const { command, plugin } = call;
    const begun = performance.now();
    const tell = (error?: unknown): void =>
      this.#onCall({ command, plugin, seconds: (performance.now() - begun) / 1000, error });
    try {
      const answer = await this.#call(call);
      tell();
      return answer;
    } catch (error) {
      tell(error);
      throw error;
    }
  }

  async #call(call: PluginCall): Promise<JsonObject | undefined> {
    const { command, plugin, attachment } = call;
    const where = `cni ${plugin} ${command}${attachment === undefined ? '' : ` of sandbox ${attachment.sandboxId}`}`;
    const program = await findPlugin(plugin, this.binDirs);
    if (program === undefined)
      throw new BerthError('failed-precondition', `${where}: no program ${plugin} in ${this.binDirs.join(', ')}`);
    const output = await this.#run(call, program, where);
    if (output.code !== 0 || output.signal !== 0) throw failure(output, where);
    const text = Buffer.from(output.stdout).toString('utf8').trim();
    return text === '' ? undefined : asObject(parseJson(text, where), where);
  }

  async #run(call: PluginCall, program: string, where: string): Promise<PluginOutput> {
    const { command, plugin, attachment, signal } = call;
    const name = `cni ${plugin} ${command}`;
    try {
      return await this.#runner.run({
        name,
        argv: [program],
        env: this.#environment(command, attachment),
        stdin: Buffer.from(JSON.stringify(call.stdin)),
        timeoutMs: timeouts[command],
        ...(attachment === undefined || attachment.lockPath === '' ? {} : { lock: attachment.lockPath }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      const said = messageOf(error);
      const cause = said.startsWith(`${name}: `) ? said.slice(name.length + 2) : said;
      throw new BerthError(codeOf(error), `${where}: ${cause}`, { cause: error });
    }
  }

  #environment(command: Command, attachment: AttachmentParameters | undefined): Readonly<Record<string, string>> {
    return {
      PATH: path,
      CNI_COMMAND: command,
      CNI_PATH: this.binDirs.join(':'),
      ...(attachment === undefined
        ? {}
        : {
            CNI_CONTAINERID: attachment.sandboxId,
            CNI_NETNS: attachment.netnsPath,
            CNI_IFNAME: attachment.ifName,
            CNI_ARGS: attachment.args,
          }),
    };
  }
}
