import { setTimeout as delay } from 'node:timers/promises';
import { BerthError, codeOf, within } from '../../base/errors.ts';
import { step } from '../../base/step.ts';
import { BusConnection, BusError } from './dbus/connection.ts';
import type { Value } from './dbus/marshal.ts';
import type { Message } from './dbus/message.ts';

/** The name of a unit's property (org.freedesktop.systemd1(5)), its D-Bus type and its value. */
export type Property = readonly [name: string, signature: string, value: Value];

export interface SystemdOptions {
  /** systemd's own socket, for root alone: no bus stands between, so none can be down. */
  readonly socket?: string;
  /** For one call; a reload of systemd with many units takes seconds. */
  readonly timeoutMs?: number;
  /** A connection that nobody used for so long is closed: systemd sends whoever is connected the news of every unit. */
  readonly idleMs?: number;
}

export const systemdSocket = '/run/systemd/private';
/** systemd that executes itself anew drops its connections, and listens again a moment later. */
const retriesMs = [50, 100, 200, 400, 800, 1600];
const manager = { path: '/org/freedesktop/systemd1', interface: 'org.freedesktop.systemd1.Manager' };
const busName = 'org.freedesktop.systemd1.';

const variants = (properties: readonly Property[]): readonly Value[] =>
  properties.map(([name, signature, value]) => [name, { signature, value }]);

const isBusError = (error: unknown, name: string): boolean =>
  error instanceof BusError && error.busName === busName + name;

/** The machine's service manager, as far as cgroups need it. Connects when it is asked, and again when a connection is lost. */
export class Systemd implements Disposable {
  readonly #socket: string;
  readonly #timeoutMs: number;
  readonly #idleMs: number;
  /** Who wait for jobs; several may for one unit's. */
  readonly #jobs = new Set<{ readonly unit: string; readonly removed: (job: string, result: string) => void }>();
  #connection: Promise<BusConnection> | undefined;
  #users = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor({ socket = systemdSocket, timeoutMs = 30_000, idleMs = 2000 }: SystemdOptions = {}) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    this.#idleMs = idleMs;
  }

  /** For "is it there": its version, such as "257.5-2". */
  async version(): Promise<string> {
    const call = { path: manager.path, interface: 'org.freedesktop.DBus.Properties', member: 'Get' };
    const body = [manager.interface, 'Version'];
    let value: Value | undefined;
    const ask = async (): Promise<void> => {
      [value] = await this.#use((connection) => connection.call({ ...call, signature: 'ss', body }, this.#timeoutMs));
    };
    await this.#trying('version', ask, async () => false);
    return typeof value === 'object' && 'value' in value ? String(value.value) : '';
  }

  /**
   * Makes a transient scope around the processes that `properties` name. `isThere` looks whether they are in it: that counts
   * when an answer was lost, and when a call before has made the unit. A unit of that name that holds something else, or nothing,
   * goes first. Errors: `unavailable`, `deadline-exceeded`, `failed-precondition` with systemd's words.
   */
  async startScope(unit: string, properties: readonly Property[], isThere: () => Promise<boolean>): Promise<void> {
    const start = (): Promise<void> =>
      this.#job(unit, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', [unit, 'fail', variants(properties), []]);
    await this.#trying(unit, start, async (error) => {
      if (await isThere()) return true;
      // Its slice is just being stopped, since the last pod in it has gone.
      if (isBusError(error, 'TransactionIsDestructive')) return undefined;
      if (!isBusError(error, 'UnitExists')) return false;
      await this.#clear(unit);
      return undefined;
    });
  }

  /**
   * What is set goes for this boot, also after a reload of systemd. When this resolves systemd has written the unit's files, all that it
   * knows of. False: it knows no such unit.
   */
  async setProperties(unit: string, properties: readonly Property[]): Promise<boolean> {
    let known = true;
    const set = (): Promise<void> =>
      this.#call('SetUnitProperties', 'sba(sv)', [unit, true, variants(properties)]).then(() => undefined);
    await this.#trying(unit, set, async (error) => {
      known = !isBusError(error, 'NoSuchUnit');
      return !known;
    });
    if (known) await this.settled();
    return known;
  }

  /**
   * Resolves when systemd has written the files of all units that were changed by calls before, or by a reload that has begun. It
   * answers first and writes then, before it takes another call (v252: manager_loop).
   */
  async settled(): Promise<void> {
    const call = { path: manager.path, interface: 'org.freedesktop.DBus.Peer', member: 'Ping' };
    const ask = async (): Promise<void> => {
      await this.#use((connection) => connection.call({ ...call, signature: '', body: [] }, this.#timeoutMs));
    };
    await this.#trying('its own work', ask, async () => false);
  }

  /** Resolves when it has stopped; one that is not there has. */
  async stopUnit(unit: string): Promise<void> {
    const stop = (): Promise<void> => this.#job(unit, 'StopUnit', 'ss', [unit, 'fail']);
    await this.#trying(unit, stop, async (error) => isBusError(error, 'NoSuchUnit'));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#idle);
    this.#connection?.then((connection) => connection.close()).catch(() => undefined);
  }

  async #clear(unit: string): Promise<void> {
    await this.#call('ResetFailedUnit', 's', [unit]).catch((error: unknown) => {
      if (!(error instanceof BusError)) throw error;
    });
    await this.stopUnit(unit);
  }

  /** `judge` says of a failure: true, it is none; undefined, try again; false, it is one unless the connection was lost. */
  async #trying(
    unit: string,
    action: () => Promise<void>,
    judge: (error: unknown) => Promise<boolean | undefined>,
  ): Promise<void> {
    for (const pause of [...retriesMs, undefined]) {
      try {
        return await action();
      } catch (error) {
        const verdict = await judge(error);
        if (verdict === true) return;
        const again = verdict === undefined || codeOf(error) === 'unavailable';
        if (!again || pause === undefined) throw within(`systemd: ${unit}`, error);
        await delay(pause);
      }
    }
  }

  #call(member: string, signature: string, body: readonly Value[]): Promise<readonly Value[]> {
    return step(`systemd ${member}`, () =>
      this.#use((connection) => connection.call({ ...manager, member, signature, body }, this.#timeoutMs)),
    );
  }

  /** A call that queues a job; resolves when the job is done. */
  async #job(unit: string, member: string, signature: string, body: readonly Value[]): Promise<void> {
    const results = new Map<string, PromiseWithResolvers<string>>();
    const resultOf = (job: string): PromiseWithResolvers<string> => {
      const result = results.get(job) ?? Promise.withResolvers<string>();
      results.set(job, result);
      return result;
    };
    // Before the call: the end of a job may come in the same bytes as the answer.
    const waiting = { unit, removed: (job: string, result: string): void => resultOf(job).resolve(result) };
    this.#jobs.add(waiting);
    try {
      const result = await this.#use(async (connection) => {
        const [job] = await step(`systemd ${member}`, () =>
          connection.call({ ...manager, member, signature, body }, this.#timeoutMs),
        );
        return this.#inTime(member, connection, resultOf(String(job)).promise);
      });
      if (result !== 'done') throw new BerthError('failed-precondition', `${member}: the job’s result is ${result}`);
    } finally {
      this.#jobs.delete(waiting);
    }
  }

  async #inTime(member: string, { ended }: BusConnection, job: Promise<string>): Promise<string> {
    const late = Promise.withResolvers<never>();
    const error = new BerthError('deadline-exceeded', `${member}: the job is not done in ${this.#timeoutMs / 1000} s`);
    const timer = setTimeout(() => late.reject(error), this.#timeoutMs);
    try {
      return await Promise.race([job, ended, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #use<T>(action: (connection: BusConnection) => Promise<T>): Promise<T> {
    this.#users += 1;
    clearTimeout(this.#idle);
    try {
      return await action(await this.#connect());
    } finally {
      this.#users -= 1;
      if (this.#users === 0) this.#idle = setTimeout(() => this.#leave(), this.#idleMs).unref();
    }
  }

  #connect(): Promise<BusConnection> {
    if (this.#connection !== undefined) return this.#connection;
    const opened = BusConnection.open(this.#socket, this.#timeoutMs, (message) => this.#hear(message));
    this.#connection = opened;
    opened
      .then(({ ended }) => ended)
      .catch(() => {
        if (this.#connection === opened) this.#connection = undefined;
      });
    return opened;
  }

  #hear(message: Message): void {
    if (this.#jobs.size === 0 || message.member !== 'JobRemoved') return;
    const [, job, unit, result] = message.body();
    for (const waiting of this.#jobs) if (waiting.unit === unit) waiting.removed(String(job), String(result));
  }

  #leave(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.then((one) => one.close()).catch(() => undefined);
  }
}
