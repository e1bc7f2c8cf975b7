import test, { type ExecutionContext } from 'ava';
import { BerthError, codeOf } from '../../base/errors.ts';
import { RangeWindow, transferred } from './ranges.ts';
import type { Open } from './resume.ts';
import { temporary } from './temporary.ts';
import type { Reply } from './transport.ts';

const content = Buffer.from(Array.from({ length: 1000 }, (_, at) => (at * 7) % 251));
const size = content.length;
const settings = { connections: 4, leastBytes: 300, pieceBytes: 100, windowBytes: 300 };
const policy = { tries: 3, pauseMs: 1, longestMs: 10 };

type Ask = { readonly begin: number; readonly end: number };
type Answer = (ask: Ask) => Reply;

const reply = (status: number, headers: Record<string, string>, body: AsyncIterable<Buffer>): Reply => ({
  url: new URL('http://r.example/'),
  status,
  headers,
  body,
  discard: () => undefined,
  destroy: () => undefined,
});
async function* bytes(begin: number, end: number): AsyncGenerator<Buffer> {
  for (let at = begin; at < end; at += 30) yield content.subarray(at, Math.min(at + 30, end));
}
const part = ({ begin, end }: Ask, body = bytes(begin, end)): Reply =>
  reply(206, { 'content-range': `bytes ${begin}-${end - 1}/${size}` }, body);
const whole = (): Reply => reply(200, { 'content-length': String(size) }, bytes(0, size));

const server = (answer: Answer, windowBytes = settings.windowBytes) => {
  const asks: Ask[] = [];
  const window = new RangeWindow({ ...settings, windowBytes });
  const open: Open = async (begin, end) => {
    const ask = { begin, end };
    asks.push(ask);
    return answer(ask);
  };
  const read = (begin = 0, signal = new AbortController().signal): AsyncGenerator<Buffer> =>
    transferred(open, begin, { size, what: 'blob', policy, signal }, window);
  return { asks, window, read };
};
const all = async (chunks: AsyncIterable<Buffer>): Promise<Buffer> => {
  const list: Buffer[] = [];
  for await (const chunk of chunks) list.push(chunk);
  return Buffer.concat(list);
};
/** Everything comes, in order, and nothing of the window is lost. */
const comes = async (t: ExecutionContext, answer: Answer, begin = 0): Promise<readonly Ask[]> => {
  const { asks, window, read } = server(answer);
  t.deepEqual(await all(read(begin)), content.subarray(begin));
  t.is(window.free, settings.windowBytes);
  return asks;
};
const spans = (asks: readonly Ask[]): string[] => asks.map(({ begin, end }) => `${begin}-${end}`);
const tens = Array.from({ length: 10 }, (_, at) => `${at * 100}-${at * 100 + 100}`);

test('a large blob comes in pieces, each asked for once', async (t) => {
  t.deepEqual(spans(await comes(t, (ask) => part(ask))).sort(), tens.toSorted());
});

test('one that begins later comes in pieces from there', async (t) => {
  t.deepEqual(spans(await comes(t, (ask) => part(ask), 650)), ['650-750', '750-850', '850-950', '950-1000']);
});

test('a small rest comes in one', async (t) => {
  t.deepEqual(spans(await comes(t, (ask) => part(ask), 800)), ['800-1000']);
});

test('a server that ignores ranges is asked once', async (t) => {
  t.deepEqual(spans(await comes(t, whole)), ['0-100']);
  t.deepEqual(spans(await comes(t, whole, 500)), ['500-600']);
});

test('a server that refuses ranges is asked for everything', async (t) => {
  const answer: Answer = ({ end }) => {
    if (end < size) throw new BerthError('failed-precondition', 'answers 400');
    return whole();
  };
  t.deepEqual(spans(await comes(t, answer)), ['0-100', '0-1000']);
});

test('429 for what is read ahead: the rest comes in one stream', async (t) => {
  const busy = (): never => {
    throw temporary(new BerthError('resource-exhausted', 'answers 429'));
  };
  const asks = await comes(t, (ask) => (ask.begin > 0 && ask.end < size ? busy() : part(ask)));
  t.is(spans(asks).at(-1), '100-1000');
  t.true(asks.length <= 8, spans(asks).join());
});

test('a server that ends its ranges in the middle is asked for the rest in one', async (t) => {
  t.is(spans(await comes(t, (ask) => (ask.begin >= 500 ? whole() : part(ask)))).at(-1), '500-1000');
});

test('a piece that is cut goes on where it was', async (t) => {
  async function* cut(begin: number): AsyncGenerator<Buffer> {
    yield content.subarray(begin, begin + 10);
    throw temporary(new BerthError('unavailable', 'cut'));
  }
  const asks = await comes(t, (ask) => (ask.begin === 400 ? part(ask, cut(400)) : part(ask)));
  t.true(spans(asks).includes('410-500'));
  t.is(asks.length, 11);
});

test('fewer bytes than were asked for are asked for again', async (t) => {
  const asks = await comes(t, (ask) => part(ask.begin === 300 ? { begin: 300, end: 350 } : ask));
  t.true(spans(asks).includes('350-400'));
});

async function* more({ begin, end }: Ask): AsyncGenerator<Buffer> {
  yield* bytes(begin, end);
  yield Buffer.alloc(1);
}
const lies: Readonly<Record<string, Answer>> = {
  'another range': ({ begin, end }) => part({ begin: begin + 1, end }),
  'a range of another blob': ({ begin, end }) =>
    reply(206, { 'content-range': `bytes ${begin}-${end - 1}/${size + 1}` }, bytes(begin, end)),
  'no range': ({ begin, end }) => reply(206, {}, bytes(begin, end)),
  'more bytes than its range': (ask) => part(ask, more(ask)),
  'fewer bytes than its range': (ask) => part(ask, bytes(ask.begin, ask.end - 50)),
  'another length': ({ begin, end }) =>
    reply(206, { 'content-range': `bytes ${begin}-${end - 1}/${size}`, 'content-length': '5' }, bytes(begin, end)),
};
for (const [what, lie] of Object.entries(lies)) {
  test(`a server that gives ${what} in the middle does no harm`, async (t) => {
    await comes(t, (ask) => (ask.begin === 300 && ask.end === 400 ? lie(ask) : part(ask)));
  });
  test(`a server that always gives ${what} is data loss`, async (t) => {
    const { read, window } = server(lie);
    const error = await t.throwsAsync(all(read(250)));
    t.is(codeOf(error), 'data-loss');
    t.is(window.free, settings.windowBytes);
  });
}

test('no more than the window is asked for before its time', async (t) => {
  const gate = Promise.withResolvers<void>();
  async function* slow(begin: number, end: number): AsyncGenerator<Buffer> {
    await gate.promise;
    yield* bytes(begin, end);
  }
  const { asks, window, read } = server((ask) => (ask.begin === 0 ? part(ask, slow(0, 100)) : part(ask)), 200);
  const reading = all(read());
  await new Promise((done) => setTimeout(done, 20));
  t.deepEqual(spans(asks), tens.slice(0, 3));
  t.is(window.free, 0);
  gate.resolve();
  t.deepEqual(await reading, content);
});

test('what is left of the window goes to the first that takes it, and nobody waits for it', async (t) => {
  const { read, window, asks } = server((ask) => part(ask));
  t.true(window.tryTake(settings.windowBytes));
  t.deepEqual(await all(read()), content);
  t.deepEqual(spans(asks), tens);
});

test('blobs that are read at once have a connection each, and nothing is read ahead of them', async (t) => {
  const { read, window } = server((ask) => part(ask), 100_000);
  const others = Array.from({ length: settings.connections - 1 }, () => read());
  for (const other of others) await other.next();
  const before = window.free;
  const one = read();
  await one.next();
  t.is(window.free, before);
  for (const reader of [...others, one]) await reader.return(undefined);
  t.is(window.free, 100_000);
  const alone = read();
  await alone.next();
  t.is(window.free, 100_000 - (settings.connections - 1) * settings.pieceBytes);
  await alone.return(undefined);
});

test('a reader that goes ends what is read ahead and gives the window back', async (t) => {
  const { read, window } = server((ask) => part(ask));
  for await (const chunk of read()) {
    t.is(chunk.length, 30);
    break;
  }
  t.is(window.free, settings.windowBytes);
});

test('cancellation ends all of it with its reason', async (t) => {
  const abort = new AbortController();
  const { read, window } = server((ask) => {
    if (ask.begin < 300) return part(ask);
    abort.abort(new Error('enough'));
    throw temporary(new BerthError('unavailable', 'cut'));
  });
  await t.throwsAsync(all(read(0, abort.signal)));
  t.is(window.free, settings.windowBytes);
});

test('an error that is final for all of it is told', async (t) => {
  const { read, asks } = server(() => {
    throw new BerthError('not-found', 'gone');
  });
  await t.throwsAsync(all(read()), { message: 'gone' });
  t.is(asks.length, 1);
});
