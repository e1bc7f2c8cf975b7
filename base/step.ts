import { AsyncLocalStorage } from 'node:async_hooks';
import { appendFileSync } from 'node:fs';
import { BerthError } from './errors.ts';

/**
 * Every durable or external step (a file written, a process started, a message that changes something) runs through
 * `step`. In production it only calls `action`. A test may set BERTH_FAULT to end, fail or hang the process at a step:
 * `stop@RunPodSandbox:3` (kill -9 before the third step of a RunPodSandbox), `fail@…`, `hang@…`, `pause@…` (SIGSTOP,
 * until the test lets it go on); and BERTH_STEPS to a file that gets one line `<rpc> <name>` a step.
 */
export const step = async <T>(name: string, action: () => Promise<T>): Promise<T> => {
  if (faults !== undefined) await faults.reach(name);
  return action();
};

/** Runs `action` as one call of the RPC `rpc`, so that faults can name it. Free when no fault is asked for. */
export const inCall = <T>(rpc: string, action: () => T): T =>
  faults === undefined ? action() : calls.run({ rpc, steps: 0 }, action);

type Kind = 'stop' | 'fail' | 'hang' | 'pause';
interface Call {
  readonly rpc: string;
  steps: number;
}

const calls = new AsyncLocalStorage<Call>();

class Faults {
  readonly #kind: Kind | undefined;
  readonly #rpc: string;
  readonly #at: number;
  readonly #log: string | undefined;

  constructor(fault: string, log: string | undefined) {
    const match = /^(stop|fail|hang|pause)@(\w+):(\d+)$/.exec(fault);
    if (fault !== '' && match === null)
      throw new BerthError('invalid-argument', `BERTH_FAULT: not understood: ${fault}`);
    this.#kind = match?.[1] as Kind | undefined;
    this.#rpc = match?.[2] ?? '';
    this.#at = Number(match?.[3] ?? 0);
    this.#log = log;
  }

  async reach(name: string): Promise<void> {
    const call = calls.getStore();
    if (call === undefined) return;
    call.steps += 1;
    if (this.#log !== undefined) appendFileSync(this.#log, `${call.rpc} ${name}\n`);
    if (call.rpc === this.#rpc && call.steps === this.#at) await this.#happen(name);
  }

  async #happen(name: string): Promise<void> {
    if (this.#kind === 'stop') process.kill(process.pid, 'SIGKILL');
    if (this.#kind === 'pause') return void process.kill(process.pid, 'SIGSTOP');
    if (this.#kind === 'fail') throw new BerthError('internal', `${name}: a test made this step fail`);
    await new Promise<never>(() => {});
  }
}

const { BERTH_FAULT: fault, BERTH_STEPS: log } = process.env;
const faults = fault === undefined && log === undefined ? undefined : new Faults(fault ?? '', log);
