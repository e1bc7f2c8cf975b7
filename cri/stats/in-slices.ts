import { setImmediate as nextTurn } from 'node:timers/promises';

/** So long the loop may be held: other calls come in between. */
const sliceMs = 4;

/** To be awaited between pieces of a long work: lets everybody else come when it has held the loop for long enough. */
export type Pause = () => Promise<void>;

export const pauses = (): Pause => {
  let until = performance.now() + sliceMs;
  return async () => {
    if (performance.now() < until) return;
    await nextTurn();
    until = performance.now() + sliceMs;
  };
};

/** One after the other on this thread, with a pause for everybody else every few milliseconds. */
export async function* inSlices<T, R>(items: readonly T[], action: (item: T) => R): AsyncGenerator<R> {
  const pause = pauses();
  for (const item of items) {
    yield action(item);
    await pause();
  }
}
