import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, connect } from '../../api/client.ts';
import { BerthError, codeOf } from '../../base/errors.ts';
import type { Place } from './place.ts';

const project = join(import.meta.dirname, '../../..');
const readySeconds = 20;
const stopSeconds = 20;

/** A berthd of the quickstart's own. */
export class QuickDaemon {
  readonly client: Client;
  readonly #process: ChildProcess;
  readonly #log: string;

  private constructor(process: ChildProcess, client: Client, log: string) {
    this.#process = process;
    this.client = client;
    this.#log = log;
  }

  /** Resolves when it answers. */
  static async start(place: Place): Promise<QuickDaemon> {
    const log = join(place.directory, 'berthd.log');
    const output = await open(log, 'w', 0o600);
    const child = spawn(join(project, 'bin/berthd'), ['--config', place.configFile], {
      stdio: ['ignore', output.fd, output.fd],
    });
    await output.close();
    const daemon = new QuickDaemon(child, connect(place.address, { timeoutMs: 120_000 }), log);
    try {
      await daemon.#answers();
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    return daemon;
  }

  async #answers(): Promise<void> {
    const deadline = Date.now() + readySeconds * 1000;
    while (Date.now() < deadline) {
      if (this.#process.exitCode !== null) throw await this.#ended();
      try {
        await this.client.Version({}, { timeoutMs: 1000 });
        return;
      } catch (error) {
        if (codeOf(error) !== 'unavailable' && codeOf(error) !== 'deadline-exceeded') throw error;
        await sleep(20);
      }
    }
    throw new BerthError('deadline-exceeded', `berthd gives no answer for ${readySeconds} s`);
  }

  /** With the last line that it wrote: that is why. */
  async #ended(): Promise<BerthError> {
    const last = (await readFile(this.#log, 'utf8')).trim().split('\n').at(-1) ?? '';
    return new BerthError('failed-precondition', `berthd ended with status ${this.#process.exitCode}: ${last}`);
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Ends it: SIGTERM, and SIGKILL for one that does not end. */
  async stop(): Promise<void> {
    this.client.close();
    if (!this.running) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), stopSeconds * 1000);
    await ended;
    clearTimeout(timer);
  }

  async lastLines(count: number): Promise<string> {
    const text = await readFile(this.#log, 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-count).join('\n');
  }
}
