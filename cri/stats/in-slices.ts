import { setImmediate as nextTurn } from 'node:timers/promises';

/** So long the loop may be held: other calls come in between. */
const sliceMs = 4;

/** One after the other on this thread, with a pause for everybody else every few milliseconds. */
export async function* inSlices<T, R>(items: readonly T[], action: (item: T) => R): AsyncGenerator<R> {
  let until = performance.now() + sliceMs;
  for (const item of items) {
    yield action(item);
    if (performance.now() < until) continue;
    await nextTurn();
    until = performance.now() + sliceMs;
  }
}

export const gathered = async <T>(items: AsyncIterable<T>): Promise<readonly T[]> => {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
};
