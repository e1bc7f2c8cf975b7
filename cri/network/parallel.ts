/** Runs `action` for each item, at most `limit` at a time. `action` handles its own errors. */
export const eachOf = async <T>(
  items: readonly T[],
  limit: number,
  action: (item: T) => Promise<void>,
): Promise<void> => {
  const waiting = items.values();
  const work = async (): Promise<void> => {
    for (const item of waiting) await action(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
};
