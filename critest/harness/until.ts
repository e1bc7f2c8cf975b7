import { setTimeout as sleep } from 'node:timers/promises';

/** Asks until the answer is neither undefined nor false, at most `seconds`; the error says what was waited for. */
export const until = async <T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  seconds = 20,
): Promise<T> => {
  const end = performance.now() + seconds * 1000;
  for (let wait = 2; ; wait = Math.min(wait * 1.5, 100)) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await sleep(wait);
  }
};
