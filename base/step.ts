import { AsyncLocalStorage } from 'node:async_hooks';
import { appendFileSync, readFileSync } from 'node:fs';
import { BerthError } from './errors.ts';

/**
 * Every durable or external step (a file written, a process started, a message that changes something) runs through
 * `step`. In production it calls `action` and keeps in mind that it runs. A test may set BERTH_FAULT to end, fail or hang the process at a step:
 * `stop@RunPodSandbox:3` (kill -9 before the third step of a RunPodSandbox), `fail@…`, `hang@…`, `pause@…` (SIGSTOP,
 * until the test lets it go on). BERTH_FAULT may be the path of a file that says so, read when a call begins; BERTH_STEPS
 * is a file that gets one line `<rpc> <name>` a step.
 */
export const step = async <T>(name: string, action: () => Promise<T>, about: About = {}): Promise<T> => {
  const work = { stage: about.stage ?? name, object: about.object ?? '', since: performance.now() };
  running.add(work);
  try {
    if (faults !== undefined) await faults.reach(name);
    return await action();
  } finally {
    running.delete(work);
  }
};

export interface About {
  /** A kind of step, of which there are few; the step's name unless told. */
  readonly stage?: string;
  /** Whose step it is: a path, an id. */
  readonly object?: string;
}

/** A step that has begun and not ended. */
export interface Work {
  readonly stage: string;
  readonly object: string;
  /** As performance.now() was. */
  readonly since: number;
}

const running = new Set<Work>();

export const workInProgress = (): ReadonlySet<Work> => running;

/** Runs `action` as one call of the RPC `rpc`, so that faults can name it. Free when no fault is asked for. */
export const inCall = <T>(rpc: string, action: () => T): T =>
  faults === undefined ? action() : calls.run({ rpc, steps: 0, fault: faults.current() }, action);

interface Fault {
  readonly kind: 'stop' | 'fail' | 'hang' | 'pause';
  readonly rpc: string;
  readonly at: number;
}

interface Call {
  readonly rpc: string;
  readonly fault: Fault | undefined;
  steps: number;
}

const calls = new AsyncLocalStorage<Call>();

const parseFault = (text: string): Fault | undefined => {
  if (text === '') return undefined;
  const match = /^(stop|fail|hang|pause)@(\w+):(\d+)$/.exec(text);
  if (match === null) throw new BerthError('invalid-argument', `BERTH_FAULT: not understood: ${text}`);
  return { kind: match[1] as Fault['kind'], rpc: match[2] ?? '', at: Number(match[3]) };
};

class Faults {
  readonly #fault: Fault | undefined;
  readonly #file: string | undefined;
  readonly #log: string | undefined;

  constructor(fault: string, log: string | undefined) {
    if (fault.startsWith('/')) this.#file = fault;
    else this.#fault = parseFault(fault);
    this.#log = log;
  }

  current(): Fault | undefined {
    return this.#file === undefined ? this.#fault : parseFault(readFileSync(this.#file, 'utf8').trim());
  }

  async reach(name: string): Promise<void> {
    const call = calls.getStore();
    if (call === undefined) return;
    call.steps += 1;
    if (this.#log !== undefined) appendFileSync(this.#log, `${call.rpc} ${name}\n`);
    const { fault } = call;
    if (fault !== undefined && call.rpc === fault.rpc && call.steps === fault.at) await happen(fault, name);
  }
}

const happen = async ({ kind }: Fault, name: string): Promise<void> => {
  if (kind === 'stop') process.kill(process.pid, 'SIGKILL');
  if (kind === 'pause') return void process.kill(process.pid, 'SIGSTOP');
  if (kind === 'fail') throw new BerthError('internal', `${name}: a test made this step fail`);
  await new Promise<never>(() => {});
};

const { BERTH_FAULT: fault, BERTH_STEPS: log } = process.env;
const faults = fault === undefined && log === undefined ? undefined : new Faults(fault ?? '', log);
