import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import type { RpcName } from '../../api/methods.ts';
import { messageOf } from '../../base/errors.ts';
import type { TestDaemon } from './daemon.ts';
import type { Snapshot } from './snapshot.ts';
import { removePods, reused, warmUp } from './suite.ts';

/** One RPC to crash in. */
export interface Scenario<Prepared> {
  readonly rpc: RpcName;
  /** The number of steps that it had when this was written; fewer means that something lost its `step`. */
  readonly steps: number;
  /** What the call needs, made without the RPC itself. */
  prepare(daemon: TestDaemon): Promise<Prepared>;
  call(daemon: TestDaemon, prepared: Prepared): Promise<unknown>;
  /** After the restart: every object is whole or gone. */
  check(t: ExecutionContext, daemon: TestDaemon, prepared: Prepared): Promise<void>;
  /** More than pods to take away. */
  clean?(daemon: TestDaemon): Promise<unknown>;
}

type Outcome = 'died' | 'paused' | 'answered' | { readonly error: string };

/** More steps than any call has: the loop ends. */
const limit = 150;

/** Makes the call; waits for its answer, for the death of the daemon, or for its stop. */
const attempt = async <P>(daemon: TestDaemon, scenario: Scenario<P>, prepared: P): Promise<Outcome> => {
  const ended = daemon.ended().then((): Outcome => 'died');
  const answer = scenario.call(daemon, prepared).then(
    (): Outcome => 'answered',
    (error: unknown): Outcome => ({ error: messageOf(error) }),
  );
  const given = new AbortController();
  const paused = daemon.paused(given.signal).then((): Outcome => 'paused');
  const first = await Promise.race([ended, answer, paused]);
  given.abort();
  // A call fails a moment before the process has gone.
  return typeof first === 'object' ? Promise.race([ended, sleep(10_000, first, { ref: false })]) : first;
};

const tidy = async <P>(daemon: TestDaemon, scenario: Scenario<P>): Promise<void> => {
  await removePods(daemon);
  await scenario.clean?.(daemon);
};

const compare = async (t: ExecutionContext, daemon: TestDaemon, before: Snapshot, at: string): Promise<void> => {
  t.deepEqual(await daemon.leftSince(before, reused), [], `left after ${at}`);
};

/**
 * kill -9 of the daemon before step 1, 2, 3 … of the call, until the call returns. After each restart every object is
 * whole or gone, and when the rest is removed the machine is as before. Answers with the number of steps.
 */
export const crashAtEachStep = async <P>(
  t: ExecutionContext,
  daemon: TestDaemon,
  scenario: Scenario<P>,
): Promise<number> => {
  const { rpc } = scenario;
  const before = await settled(daemon, scenario);
  for (let step = 1; step < limit; step += 1) {
    const at = `kill -9 at step ${step} of ${rpc}`;
    const prepared = await scenario.prepare(daemon);
    await arm(daemon, `stop@${rpc}:${step}`);
    const outcome = await attempt(daemon, scenario, prepared);
    if (outcome !== 'died' && outcome !== 'answered')
      throw new Error(`${rpc} without a crash: ${JSON.stringify(outcome)}`);
    if (outcome === 'answered' && (await survivesTidying(daemon, scenario))) return told(t, scenario, step - 1);
    await arm(daemon, '');
    await daemon.boot(faultFrom(daemon));
    if (outcome === 'died') await guarded(at, () => scenario.check(t, daemon, prepared));
    await guarded(at, () => tidy(daemon, scenario));
    await compare(t, daemon, before, at);
  }
  throw new Error(`${rpc} has more than ${limit} steps`);
};

/**
 * kill -9 of the spawn agent before a step of the call; the daemon lives. The call answers or fails; then every object
 * is whole or gone, the same call works, and nothing is left.
 */
export const agentCrashAtStep = async <P>(
  t: ExecutionContext,
  daemon: TestDaemon,
  scenario: Scenario<P>,
  step: number,
): Promise<void> => {
  const at = `kill -9 of the agent at step ${step} of ${scenario.rpc}`;
  const before = await settled(daemon, scenario);
  const prepared = await scenario.prepare(daemon);
  await arm(daemon, `pause@${scenario.rpc}:${step}`);
  const call = scenario.call(daemon, prepared).catch(() => {});
  const given = new AbortController();
  await Promise.race([call, daemon.paused(given.signal)]);
  given.abort();
  for (const pid of await daemon.pidsOf('berth-agent')) await daemon.world.run('kill', ['-9', `${pid}`]);
  await daemon.signal('CONT');
  await call;
  await arm(daemon, '');
  await daemon.killAndBoot(faultFrom(daemon)); // a step after the answer would still stop it
  await guarded(at, () => scenario.check(t, daemon, prepared));
  await guarded(at, () => tidy(daemon, scenario));
  await compare(t, daemon, before, at);
};

/** Says what shall happen in the calls that begin from now on. */
const arm = (daemon: TestDaemon, fault: string): Promise<void> => writeFile(faultFile(daemon), fault);

const faultFile = (daemon: TestDaemon): string => daemon.world.path('log.fault');

const faultFrom = (daemon: TestDaemon): Record<string, string> => ({ BERTH_FAULT: faultFile(daemon) });

const settled = async <P>(daemon: TestDaemon, scenario: Scenario<P>): Promise<Snapshot> => {
  await arm(daemon, '');
  await daemon.ensure();
  await daemon.killAndBoot(faultFrom(daemon));
  await warmUp(daemon);
  await scenario.call(daemon, await scenario.prepare(daemon));
  await tidy(daemon, scenario);
  return daemon.snapshot();
};

/** What a call goes on with in the background belongs to it: its steps may come after the answer. */
const survivesTidying = async <P>(daemon: TestDaemon, scenario: Scenario<P>): Promise<boolean> => {
  try {
    await tidy(daemon, scenario);
    return true;
  } catch (error) {
    if (await daemon.isGone(10_000)) return false;
    throw error;
  }
};

const told = <P>(t: ExecutionContext, { rpc, steps }: Scenario<P>, found: number): number => {
  t.log(`${rpc}: ${found} steps`);
  t.true(found >= steps, `${rpc} has ${found} steps, it had ${steps}`);
  return found;
};

/** Says at which crash a check failed. */
const guarded = async (at: string, action: () => Promise<void>): Promise<void> => {
  try {
    await action();
  } catch (error) {
    throw new Error(`after ${at}: ${messageOf(error)}`, { cause: error });
  }
};
