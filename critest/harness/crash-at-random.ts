import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { TestDaemon } from './daemon.ts';
import { runPod } from './pods.ts';
import { alive } from './scenarios.ts';
import { removePods, reused, warmUp } from './suite.ts';
import { until } from './until.ts';

/** A seeded generator of numbers in [0, 1): a failure names its seed. */
export const randomFrom = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
};

/** A pod's whole life, over and over, until the daemon is gone. */
const live = async (daemon: TestDaemon): Promise<void> => {
  for (;;) {
    const pod = await runPod(daemon);
    const container = await pod.run(['sleep', '4242']);
    await container.exec('true');
    await container.stop(0);
    await pod.remove();
  }
};

/**
 * kill -9 of the daemon, every second time of the agent too, at random moments while two pods live and die. After each
 * restart the states that are told are those of the processes, and after the removal nothing is left.
 */
export const crashAtRandom = async (t: ExecutionContext, rounds: number): Promise<void> => {
  const seed = Date.now() % 100_000;
  t.log(`seed ${seed}`);
  const random = randomFrom(seed);
  await using daemon = await TestDaemon.start();
  await warmUp(daemon);
  const before = await daemon.snapshot();
  for (let round = 0; round < rounds; round += 1) {
    const lives = [live(daemon), live(daemon)].map((one) => one.catch(() => {}));
    await sleep(20 + random() * 400);
    const agents = random() < 0.5 ? await daemon.pidsOf('berth-agent') : [];
    await daemon.world.run('kill', ['-9', `${daemon.pid}`, ...agents.map(String)]);
    await daemon.ended();
    await Promise.all(lives);
    await daemon.boot();
    // On a slow machine what has become of one is found out behind the daemon's start.
    const agree = async (): Promise<boolean> => {
      const { containers } = await daemon.client.ListContainers({});
      const running = containers.filter(({ state }) => state === 'CONTAINER_RUNNING').length;
      return (await alive(daemon, 'sleep 4242')) === running;
    };
    await until(`the states are those of the processes, round ${round} of seed ${seed}`, agree);
    await removePods(daemon);
    t.deepEqual(await daemon.leftSince(before, reused), [], `round ${round} of seed ${seed}`);
  }
};
