import { isId } from '../../base/digest.ts';
import { BerthError, messageOf } from '../../base/errors.ts';
import {
  isTemporary,
  joinUnder,
  makeDirectory,
  moveInto,
  namesIn,
  readLimited,
  removeTree,
  writeAtomic,
} from '../../base/files.ts';
import { type Conflist, formatConflist, parseConflist } from './conflist.ts';
import type { AttachmentParameters } from './invoke.ts';
import { asObject, indexAt, type JsonObject, objectAt, parseJson, stringAt, wrong } from './json.ts';
import type { CapabilityArgs, NetworkLog } from './types.ts';

/**
 * An attachment as it stands on disk: `adding` is written before the first ADD, `added` with the result after the last.
 * It keeps the configuration that it was made with, for DEL gets the same even when the node's has changed since.
 */
export interface Attachment extends AttachmentParameters {
  readonly state: 'adding' | 'added';
  readonly conflist: Conflist;
  readonly capabilityArgs: CapabilityArgs;
  readonly result: JsonObject | undefined;
  /** DELs that failed. */
  readonly failures: number;
}

const sizeLimit = 4 << 20;

const format = (attachment: Attachment): string =>
  JSON.stringify({
    version: 1,
    ...attachment,
    conflist: formatConflist(attachment.conflist),
    source: attachment.conflist.source,
  });

const parse = (text: string, path: string): Attachment => {
  const raw = asObject(parseJson(text, path), path);
  const state = stringAt(raw, 'state', path);
  if (state !== 'adding' && state !== 'added') throw wrong(path, `state ${JSON.stringify(state)} is not known`);
  return {
    state,
    sandboxId: stringAt(raw, 'sandboxId', path),
    netnsPath: stringAt(raw, 'netnsPath', path),
    ifName: stringAt(raw, 'ifName', path),
    args: stringAt(raw, 'args', path),
    lockPath: stringAt(raw, 'lockPath', path),
    conflist: parseConflist(JSON.stringify(raw.conflist), stringAt(raw, 'source', path)),
    capabilityArgs: objectAt(raw, 'capabilityArgs', path) ?? {},
    result: objectAt(raw, 'result', path),
    failures: indexAt(raw, 'failures', path) ?? 0,
  };
};

/** `<root>/cni/<sandbox id>.json`, one a sandbox with an attachment. */
export class Attachments {
  readonly #directory: string;
  readonly #log: NetworkLog;

  private constructor(directory: string, log: NetworkLog) {
    this.#directory = directory;
    this.#log = log;
  }

  static async open(directory: string, log: NetworkLog): Promise<Attachments> {
    await makeDirectory(directory);
    const halfWritten = (await namesIn(directory)).filter(isTemporary);
    await Promise.all(halfWritten.map((name) => removeTree(joinUnder(directory, name))));
    return new Attachments(directory, log);
  }

  save(attachment: Attachment): Promise<void> {
    return writeAtomic(this.#path(attachment.sandboxId), format(attachment));
  }

  /** Undefined when there is none; `broken`, with a warning, when it cannot be read (lesson A8). */
  async load(sandboxId: string): Promise<Attachment | 'broken' | undefined> {
    const path = this.#path(sandboxId);
    const bytes = await readLimited(path, sizeLimit);
    if (bytes === undefined) return undefined;
    try {
      return parse(bytes.toString('utf8'), path);
    } catch (error) {
      this.#log.warn({ err: error, sandbox: sandboxId }, `network record of sandbox ${sandboxId}: ${messageOf(error)}`);
      return 'broken';
    }
  }

  /** Keeps a broken record out of the way, for a person to look at. */
  setAside(sandboxId: string): Promise<void> {
    return moveInto(this.#path(sandboxId), `${this.#path(sandboxId)}.broken`);
  }

  remove(sandboxId: string): Promise<void> {
    return removeTree(this.#path(sandboxId));
  }

  /** Sandbox ids that have a record. */
  async ids(): Promise<readonly string[]> {
    const names = await namesIn(this.#directory);
    return names.flatMap((name) => (name.endsWith('.json') && isId(name.slice(0, -5)) ? [name.slice(0, -5)] : []));
  }

  #path(sandboxId: string): string {
    if (!isId(sandboxId))
      throw new BerthError(
        'invalid-argument',
        `sandbox id ${JSON.stringify(sandboxId.slice(0, 80))} is not 64 hex digits`,
      );
    return joinUnder(this.#directory, `${sandboxId}.json`);
  }
}
