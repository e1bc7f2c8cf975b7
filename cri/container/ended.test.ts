import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { codeOf, messageOf } from '../../base/errors.ts';
import { execSync } from '../../shim/exec.ts';
import { openAttach } from '../../shim/streams.ts';
import type { Container, ContainerState } from '../state/container.ts';
import { orEnded } from './ended.ts';

const running: ContainerState = { kind: 'running', pid: 1, startedAt: '1' };
const exited: ContainerState = { ...running, kind: 'exited', finishedAt: '2', exitCode: 0, reason: '', message: '' };

const containerIn = (state: ContainerState): Container =>
  ({ id: 'c1', record: { state }, exited: Promise.withResolvers<void>() }) as unknown as Container;

const end = (container: Container): void => {
  container.record = { ...container.record, state: exited };
  container.exited.resolve();
};

/** What somebody is told who asks while nobody listens, or the listener closes, and the end is recorded after some milliseconds. */
const told = async (listens: boolean, recordedAfter: number | undefined, seconds: number): Promise<unknown> => {
  const container = containerIn(running);
  return withDir(
    async ({ path }) => {
      const server = createServer((socket) => void socket.destroy());
      if (listens) await new Promise<void>((resolve) => server.listen(join(path, 'shim.sock'), resolve));
      const exec = orEnded(container, 'exec in', execSync(path, Buffer.alloc(8)), { seconds });
      const streams = { tty: false, stdin: false, stdout: true, stderr: false };
      const attach = orEnded(container, 'attach to', openAttach(path, streams), { seconds });
      const errors = Promise.all([exec, attach].map((work) => work.catch((error: unknown) => error)));
      if (recordedAfter !== undefined) await sleep(recordedAfter).then(() => end(container));
      const [first, second] = await errors;
      server.close();
      return [codeOf(first), messageOf(first), codeOf(second), messageOf(second)];
    },
    { unsafeCleanup: true },
  );
};

for (const [what, listens] of [
  ['has gone', false],
  ['just closes', true],
] as const)
  test(`who comes when the supervisor ${what} is told that the container does not run, once that is recorded`, async (t) => {
    const [code, message, ...attach] = (await told(listens, 30, 10)) as string[];
    t.is(code, 'failed-precondition');
    t.regex(message ?? '', /^exec in container c1: it is exited, not running \(exec: supervisor of .*\)$/);
    t.is(attach[0], 'failed-precondition');
    t.regex(attach[1] ?? '', /^attach to container c1: it is exited, not running/);
  });

test('a supervisor that is not to be reached while its container runs is unavailable', async (t) => {
  const [code, message, attach] = (await told(false, undefined, 0.03)) as string[];
  t.deepEqual([code, attach], ['unavailable', 'unavailable']);
  t.regex(message ?? '', /^container c1: exec: supervisor of .*ENOENT/);
});

test('another failure waits for no end, and one whose caller goes waits no longer', async (t) => {
  const container = containerIn(running);
  const other = orEnded(container, 'exec in', Promise.reject(new Error('no such program')), { seconds: 3600 });
  await t.throwsAsync(other, { message: 'container c1: no such program' });
  const gone = new AbortController();
  const lost = withDir(({ path }) =>
    orEnded(container, 'exec in', execSync(path, Buffer.alloc(8)), { seconds: 3600, signal: gone.signal }),
  );
  await sleep(20);
  gone.abort();
  await t.throwsAsync(lost, { code: 'unavailable' });
});
