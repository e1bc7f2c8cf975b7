/** Waits for what goes on for others as well: rejects with the signal's reason when this caller goes. */
export const untilGone = async <T>(shared: Promise<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted();
  const gone = Promise.withResolvers<never>();
  const leave = (): void => gone.reject(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([shared, gone.promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
};
