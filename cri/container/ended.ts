import { BerthError, codeOf, messageOf, within } from '../../base/errors.ts';
import type { Container } from '../state/container.ts';
import { notRunning } from './running.ts';

/** True when it ended in time. The longest timer that Node has is 24 days; a longer grace is as good as that. */
export const endedWithin = async (container: Container, seconds: number, signal?: AbortSignal): Promise<boolean> => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, Math.min(seconds * 1000, 2 ** 31 - 1), false);
  const leave = (): void => resolve(false);
  signal?.addEventListener('abort', leave, { once: true });
  if (signal?.aborted) leave();
  try {
    return await Promise.race([container.exited.promise.then(() => true), promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', leave);
  }
};

/** An end is recorded in milliseconds; that of a supervisor's death takes as long as the kernel takes to kill what it held. */
const recordedSeconds = 2;

/**
 * What comes of something that is done in a running container. Whose supervisor cannot be reached may just have ended, and its
 * end is being recorded: then it is asked too late, and nothing is broken. Errors: `failed-precondition` then, else as `work`.
 */
export const orEnded = async <T>(
  container: Container,
  action: string,
  work: Promise<T>,
  { signal, seconds = recordedSeconds }: { readonly signal?: AbortSignal | undefined; readonly seconds?: number } = {},
): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'unavailable' && (await endedWithin(container, seconds, signal)))
      throw new BerthError('failed-precondition', `${notRunning(container, action)} (${messageOf(error)})`, {
        cause: error,
      });
    throw within(`container ${container.id}`, error);
  }
};
