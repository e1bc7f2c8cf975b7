import type { PullMeter, PullStage } from './types.ts';

/** Where nobody measures. */
export const noMeter: PullMeter = { stage: () => undefined, received: () => undefined };

/** Runs one stage of a pull, and tells how long it took and how it ended. */
export const timed = async <T>(meter: PullMeter, stage: PullStage, action: () => Promise<T>): Promise<T> => {
  const begun = performance.now();
  const tell = (error?: unknown): void => meter.stage(stage, (performance.now() - begun) / 1000, error);
  try {
    const value = await action();
    tell();
    return value;
  } catch (error) {
    tell(error);
    throw error;
  }
};
