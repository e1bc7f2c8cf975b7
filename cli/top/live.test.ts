import { PassThrough } from 'node:stream';
import test from 'ava';
import { dir } from 'tmp-promise';
import { connect } from '../../api/client.ts';
import { serve } from '../../api/server.ts';
import type { Context } from '../context.ts';
import { live } from './live.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const entered = '\u001b[?1049h';
const left = '\u001b[?25h\u001b[?1049l';

interface Shown {
  readonly bytes: () => string;
  readonly raw: readonly boolean[];
  readonly stdin: PassThrough;
  readonly stop: AbortController;
}

/** At a terminal that is none: what was written to it, and the modes that it was set to. */
const shown = async (act: (shown: Shown) => void): Promise<Shown> => {
  const { path, cleanup } = await dir({ prefix: 'berth-top-', unsafeCleanup: true });
  const address = `unix://${path}/b.sock`;
  const handlers = { ListPodSandbox: async () => ({}) };
  const server = await serve(handlers, { address, log: quiet, ready: () => true });
  const [stdin, stdout] = [new PassThrough(), new PassThrough()];
  const raw: boolean[] = [];
  let bytes = '';
  stdout.on('data', (data) => {
    bytes += data;
  });
  const terminal = {
    stdin,
    stdout,
    stderr: stdout,
    size: () => ({ columns: 80, rows: 10 }),
    onResize: () => () => undefined,
    isTerminal: true,
    setRaw: (on: boolean) => raw.push(on) > 0,
  };
  const stop = new AbortController();
  using client = connect(address);
  const out = { tty: true, columns: 80, write: () => undefined, error: () => undefined };
  const context: Context = { client, address, logRoot: '', signal: stop.signal, out, terminal };
  const layout = { machine: { cores: 1, memory: 1 }, theme: { color: false, unicode: false } };
  const result = { bytes: () => bytes, raw, stdin, stop };
  const ended = live(context, {
    state: { view: 'both', sort: 'cpu', reverse: false, offset: 0 },
    intervalMs: 60_000,
    layout,
  });
  act(result);
  await ended;
  await server.close(50);
  await cleanup();
  return result;
};

const ways: readonly (readonly [string, (shown: Shown) => void])[] = [
  ['q', ({ stdin }) => void stdin.write('q')],
  ['Ctrl-C, which is a key here', ({ stdin }) => void stdin.write('\u0003')],
  ['the end of its input', ({ stdin }) => void stdin.end()],
  ['a signal', ({ stop }) => stop.abort()],
  ['a hangup', () => void process.emit('SIGHUP', 'SIGHUP')],
];
for (const [way, act] of ways)
  test.serial(`${way} ends it at once and gives the terminal back`, async (t) => {
    const listeners = process.listenerCount('exit');
    const { bytes, raw } = await shown(act);
    t.true(bytes().startsWith(entered));
    t.true(bytes().endsWith(left));
    t.deepEqual(raw, [true, false]);
    t.is(process.listenerCount('exit'), listeners);
  });
