import type { ReopenContainerLogRequest } from '../../api/generated/types.ts';
import { BerthError, within } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';

/** A supervisor opens a file in microseconds; one that takes so long is stopped, or its disk is. */
const answerSeconds = 5;

/** Opens the log file anew after it was rotated. On an error the old file stays in use. */
export const reopenContainerLog = async (
  runtime: Runtime,
  request: ReopenContainerLogRequest,
  call: { readonly signal: AbortSignal },
): Promise<object> => {
  const container = runtime.containers.get(request.container_id);
  const what = `reopen the log of container ${container.id}`;
  if (container.supervisor === undefined) throw new BerthError('failed-precondition', `${what}: it is not running`);
  try {
    await answered(container.supervisor.reopenLog(), call.signal);
  } catch (error) {
    throw within(what, error);
  }
  return {};
};

const answered = async (answer: Promise<void>, signal: AbortSignal): Promise<void> => {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = (): void =>
    reject(new BerthError('deadline-exceeded', `its supervisor does not answer within ${answerSeconds} s`));
  const leave = (): void => reject(new BerthError('cancelled', 'the caller went before it was done'));
  const timer = setTimeout(late, answerSeconds * 1000);
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    await Promise.race([answer, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', leave);
  }
};
