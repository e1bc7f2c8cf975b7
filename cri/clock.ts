const perMs = 1_000_000n;

/**
 * A clock in nanoseconds since 1970 out of Node's two: the wall clock in whole milliseconds, and one in nanoseconds that
 * knows no date. What it shows is always within the millisecond of the wall clock, also when that is set, and does not go
 * back unless that does.
 */
export const nanosecondClock = (wallMs: () => bigint, steadyNs: () => bigint): (() => bigint) => {
  let offset = wallMs() * perMs - steadyNs();
  return () => {
    const begin = wallMs() * perMs;
    const guess = steadyNs() + offset;
    const shown = guess < begin ? begin : guess >= begin + perMs ? begin + perMs - 1n : guess;
    offset += shown - guess;
    return shown;
  };
};
