import { setTimeout as sleep } from 'node:timers/promises';

/** How much slower than others the machine is: an emulated one says so. */
export const slowness = Number(process.env.BERTH_SLOW ?? 1);

/** Asks until the answer is neither undefined nor false, at most `seconds`; the error says what was waited for. */
export const until = async <T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  seconds = 20,
): Promise<T> => {
  const end = performance.now() + seconds * slowness * 1000;
  for (let wait = 2; ; wait = Math.min(wait * 1.5, 100)) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`not within ${seconds * slowness} s: ${what}`);
    await sleep(wait);
  }
};
