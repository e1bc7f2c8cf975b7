import type { Duplex } from 'node:stream';

/** What the client may take to close its end after we did. */
const lingerMs = 5000;

/**
 * Closes our direction, and the whole connection when the client has closed its own, or after a while. Unread bytes would
 * make the kernel reset the connection and lose what we wrote: they are read and dropped.
 */
export const linger = (socket: Duplex): void => {
  if (socket.destroyed) return;
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
};
