import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';

/** Carries bytes both ways until both directions are closed; each direction is closed by itself. */
export const join = async (a: Duplex, b: Duplex): Promise<void> => {
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.pipe(other);
    one.on('error', () => undefined);
    // one that broke takes the other with it, also when that was before; one that ended has ended the other
    const broken = (): void => {
      if (!one.readableEnded || !one.writableFinished) other.destroy();
    };
    if (one.destroyed) broken();
    else one.once('close', broken);
  }
  await Promise.all([a, b].map((end) => finished(end).catch(() => undefined)));
};
