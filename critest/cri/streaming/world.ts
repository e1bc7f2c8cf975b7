import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { TestDaemon } from '../../harness/daemon.ts';
import type { TestContainer } from '../../harness/pods.ts';
import { buildTree } from '../../harness/tree.ts';
import { until } from '../../harness/until.ts';
import { systemEnvironment } from '../../harness/world.ts';
import type { Dial } from './spdy-client.ts';

/** A way to addresses of the world's loopback. Ends with the world. */
export const dialInto = async ({ world }: TestDaemon): Promise<Dial> => {
  const path = world.path('bridge.sock');
  const program = join(buildTree, 'critest/cri/streaming/bridge.js');
  world.spawn(process.execPath, [program, path], { stdio: ['ignore', 'ignore', 'inherit'], env: systemEnvironment });
  await until('the bridge listens', () => reachable(path));
  return (url) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.write(`${url.hostname.replace(/^\[|\]$/g, '')} ${url.port}\n`);
    return socket;
  };
};

const reachable = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });

/** Servers on both loopbacks of the container's pod (echo.ts), until they are disposed of. */
export const echoIn = async (
  { world }: TestDaemon,
  container: TestContainer,
  ports: readonly [number, number],
): Promise<AsyncDisposable> => {
  const program = join(buildTree, 'critest/cri/streaming/echo.js');
  const enter = ['--target', `${await container.pid()}`, '--net', '--', process.execPath, program];
  const child = world.spawn('nsenter', [...enter, '127.0.0.1', `${ports[0]}`, '::1', `${ports[1]}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: systemEnvironment,
  });
  const closed = once(child, 'close');
  if (child.stdout !== null) await Promise.race([once(child.stdout, 'data'), closed]);
  return {
    [Symbol.asyncDispose]: async () => {
      child.stdin?.end();
      await closed;
    },
  };
};
