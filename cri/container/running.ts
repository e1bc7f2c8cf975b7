import { BerthError } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';

/** The container, if it runs. Errors: `not-found`, `failed-precondition`. */
export const runningContainer = (runtime: Runtime, id: string, action: string): Container => {
  const container = runtime.containers.get(id);
  if (container.record.state.kind === 'running') return container;
  throw new BerthError('failed-precondition', notRunning(container, action));
};

export const notRunning = ({ id, record }: Container, action: string): string =>
  `${action} container ${id}: it is ${record.state.kind}, not running`;

/** Which streams make sense together, in Exec and in Attach. Errors: `invalid-argument`. */
export const checkStreams = (action: string, wanted: StreamFlags): void => {
  if (wanted.tty && wanted.stderr)
    throw new BerthError('invalid-argument', `${action}: tty and stderr: a terminal has no stderr of its own`);
  if (!wanted.stdin && !wanted.stdout && !wanted.stderr)
    throw new BerthError('invalid-argument', `${action}: none of stdin, stdout and stderr is set`);
};

export interface StreamFlags {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}
