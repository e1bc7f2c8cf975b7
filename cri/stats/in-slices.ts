import { setImmediate as nextTurn } from 'node:timers/promises';

/** So long the loop may be held: other calls come in between. */
const sliceMs = 4;

/** One after the other on this thread, with a pause for everybody else every few milliseconds. */
export const inSlices = async <T, R>(items: readonly T[], action: (item: T) => R): Promise<R[]> => {
  const results: R[] = [];
  let until = performance.now() + sliceMs;
  for (const item of items) {
    results.push(action(item));
    if (performance.now() < until) continue;
    await nextTurn();
    until = performance.now() + sliceMs;
  }
  return results;
};
