import { connect } from '../../api/client.ts';

/**
 * Asks this daemon over its own socket, on a connection of its own, as kubelet would: that connections are taken, the event
 * loop turns, and a call is decoded, served and answered. Throws what a client would get; `deadline-exceeded` after
 * `timeoutMs`.
 */
export const selfCheck = async (address: string, timeoutMs: number): Promise<void> => {
  using client = connect(address);
  await client.Version({}, { timeoutMs });
  await client.Status({}, { timeoutMs });
};
