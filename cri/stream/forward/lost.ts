import type { Duplex } from 'node:stream';

/** While `use` runs the abort destroys the connection, also when it came before. */
export const untilLost = async (lost: AbortSignal, connection: Duplex, use: () => Promise<void>): Promise<void> => {
  const drop = (): unknown => connection.destroy();
  lost.addEventListener('abort', drop, { once: true });
  if (lost.aborted) drop();
  await use().finally(() => lost.removeEventListener('abort', drop));
};
