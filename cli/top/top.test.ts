import test from 'ava';
import { amount, columnsFor, percent } from './columns.ts';
import { keysOf } from './keys.ts';
import { jsonOf, plainTable } from './once.ts';
import { type Frame, render } from './render.ts';
import { arranged, rowsOf, type SortKey } from './rows.ts';
import type { Counters, Sample } from './sample.ts';
import { pressed, type State } from './state.ts';
import { barText, themeOf } from './theme.ts';
import { fit, fitRight, widthOf } from './width.ts';

const nothing: Counters = {
  at: 0n,
  cpu: undefined,
  nanoCores: undefined,
  cpuLimit: undefined,
  memory: undefined,
  memoryLimit: undefined,
  received: undefined,
  sent: undefined,
  read: undefined,
  written: undefined,
  pids: undefined,
};
const MiB = 1 << 20;

const one = (name: string, counters: Partial<Counters> = {}) => ({
  id: `id-${name}`.padEnd(64, '0'),
  name,
  counters: { ...nothing, ...counters },
});

/** Two seconds apart; web/server burns a processor, db/store writes and holds most memory. */
const sample = (turn: number): Sample => ({
  at: turn * 2000,
  pods: [
    {
      ...one('web', {
        at: BigInt(turn) * 2_000_000_000n,
        cpu: BigInt(turn) * 2_000_000_000n,
        memory: 30 * MiB,
        received: turn * 4096,
      }),
      namespace: 'default',
      containers: [
        one('server', {
          at: BigInt(turn) * 2_000_000_000n,
          cpu: BigInt(turn) * 2_000_000_000n,
          cpuLimit: 2e9,
          memory: 20 * MiB,
          memoryLimit: 40 * MiB,
          pids: 3,
        }),
        one('side', { nanoCores: 1e8, memory: 10 * MiB, pids: 9 }),
      ],
    },
    {
      ...one('db', { nanoCores: 2e8, memory: 500 * MiB, written: turn * 2048 }),
      namespace: 'data',
      containers: [one('store', { nanoCores: 2e8, memory: 500 * MiB, read: 0, written: turn * 2048, pids: 5 })],
    },
  ],
});
const pods = rowsOf(sample(1), sample(0));

test('rates are what was counted between two looks; before the second look there are none but the daemon’s own', (t) => {
  const [web, db] = pods;
  t.is(web?.row.use.cpu, 1);
  t.is(web?.row.use.rx, 2048);
  t.is(web?.containers[1]?.use.cpu, 0.1);
  t.is(db?.row.use.write, 1024);
  const [first] = rowsOf(sample(1), undefined);
  t.is(first?.row.use.rx, undefined);
  t.is(first?.row.use.cpu, undefined);
  t.is(first?.containers[1]?.use.cpu, 0.1);
  const back = rowsOf({ ...sample(0), at: 9000 }, sample(1));
  t.is(back[0]?.row.use.rx, undefined, 'a counter that went back is no negative rate');
});

test('a clock of the node that is set between two looks changes no rate', (t) => {
  const hour = 3_600_000_000_000n;
  for (const set of [hour, -hour]) {
    const [web] = sample(1).pods;
    if (web === undefined) return t.fail();
    const moved = { ...web, counters: { ...web.counters, at: web.counters.at + set } };
    t.is(rowsOf({ at: 2000, pods: [moved] }, sample(0))[0]?.row.use.cpu, 1);
  }
});

const order = (sort: SortKey, view: State['view'], reverse = false): string =>
  arranged(pods, { sort, view, reverse })
    .map(({ pod, name }) => name || pod)
    .join(' ');

test('rows are sorted by each key, pods keep their containers, and what is unknown stands last', (t) => {
  t.is(order('cpu', 'both'), 'web server side db store');
  t.is(order('memory', 'both'), 'db store web server side');
  t.is(order('memory', 'both', true), 'web side server db store');
  t.is(order('network', 'pods'), 'web db');
  t.is(order('io', 'pods'), 'db web');
  t.is(order('io', 'containers', true), 'store server side');
  t.is(order('pids', 'containers'), 'side store server');
  t.is(order('name', 'containers'), 'store server side');
});

const state: State = { view: 'both', sort: 'cpu', reverse: false, offset: 0 };
const plainTheme = { color: false, unicode: true };
const frame = (over: Partial<Frame> = {}): Frame => ({
  pods,
  state,
  size: { columns: 80, rows: 12 },
  layout: { machine: { cores: 4, memory: 1024 * MiB }, theme: plainTheme },
  clock: '12:00:00',
  intervalMs: 2000,
  notice: '',
  ...over,
});
// biome-ignore lint/suspicious/noControlCharactersInRegex: what colours are made of
const bare = (line: string): string => line.replaceAll(/\u001b\[[0-9;]*m/g, '');

test('a frame has the totals, the titles with the sorted one marked, bars of the limits, and the keys', (t) => {
  const lines = render(frame()).map(bare);
  t.is(lines.length, 12);
  t.regex(lines[0] ?? '', /^berth top {2}12:00:00 {2}2 pods, 3 containers, every 2 s/);
  t.regex(lines[1] ?? '', /^CPU █+[▏▎▍▌▋▊▉]?·+ 120 of 400 % {3}memory █+[▏▎▍▌▋▊▉]?·+ 530M of 1\.0G$/);
  t.regex(lines[2] ?? '', /^POD +CPU %▼ +MEM +NET IN +OUT +READ +WRITE +PIDS$/);
  t.regex(lines[3] ?? '', /^default\/web +100 █▎··· +30M ▏···· +2\.0K +- +- +- +-$/);
  t.regex(lines[4] ?? '', /^ {2}server +100 ██▌·· +20M ██▌·· +- +- +- +- +3$/);
  t.regex(lines.at(-1) ?? '', /^c CPU {2}m memory/);
});

test('no line is wider than the terminal and none is lost, at every size', (t) => {
  for (const columns of [1, 5, 20, 33, 40, 60, 79, 80, 81, 100, 132, 300])
    for (const rows of [1, 3, 5, 12, 60]) {
      const lines = render(frame({ size: { columns, rows } })).map(bare);
      t.is(lines.length, rows, `${columns}x${rows}`);
      const widest = Math.max(...lines.map(widthOf));
      t.true(
        widest <= columns,
        `${columns}x${rows}: a line has ${widest}: ${lines.find((line) => widthOf(line) === widest)}`,
      );
    }
  t.true(columnsFor(300, { view: 'both' }).some(({ title }) => title === 'LIMIT'));
  t.false(columnsFor(40, { view: 'both' }).some(({ title }) => title === 'PIDS'));
});

test('names with control characters and wide ones keep the columns where they are', (t) => {
  const named = (name: string) => pods.slice(0, 1).map(({ row }) => ({ row: { ...row, pod: name }, containers: [] }));
  const widths = ['web', 'a\u001b[2J\u202e\n', '日本語のポッド', 'e\u0301'.repeat(40), '🚢'.repeat(30)].map((name) => {
    const line = bare(render(frame({ pods: named(name) }))[3] ?? '');
    t.notRegex(line, /[\p{Cc}\p{Cf}]/u);
    return widthOf(line);
  });
  t.deepEqual(new Set(widths), new Set([80]));
});

test('a notice stands in place of the head and leaves the figures', (t) => {
  const lines = render(frame({ notice: 'no figures, trying again: connect: ENOENT' })).map(bare);
  t.regex(lines[0] ?? '', /^no figures, trying/);
  t.regex(lines[3] ?? '', /^default\/web/);
  t.regex(render(frame({ pods: [] })).map(bare)[3] ?? '', /^no pods run/);
});

test('without a UTF-8 terminal all is ASCII, and NO_COLOR leaves no colour', (t) => {
  const layout = { machine: { cores: 4, memory: 1024 * MiB }, theme: themeOf({ LANG: 'C', NO_COLOR: '1' }) };
  const text = render(frame({ layout, size: { columns: 40, rows: 12 } })).join('\n');
  t.true([...text].every((one) => one <= '~'));
  t.false(text.includes('\u001b[3'));
  t.regex(render(frame({ layout })).join('\n'), /##\.\.\./);
  t.deepEqual(themeOf({ LC_ALL: 'de_DE.UTF-8' }), { color: true, unicode: true });
  t.true(
    render(frame({ layout: { ...layout, theme: { color: true, unicode: true } } }))
      .join('')
      .includes('\u001b[32m'),
  );
});

test('a bar is empty at nothing, seen at a little, full at the limit and above it', (t) => {
  t.deepEqual(
    [0, 0.001, 0.5, 1, 7, -1, Number.NaN].map((ratio) => barText(ratio, 4, plainTheme)),
    ['····', '▏···', '██··', '████', '████', '····', '····'],
  );
});

test('sizes take five columns at most, percentages are of one processor', (t) => {
  t.deepEqual([0, 999, 1000, 1536, 10 * 1024, 999 * 1024, 1000 * 1024, 2 ** 40].map(amount), [
    '0',
    '999',
    '1.0K',
    '1.5K',
    '10K',
    '999K',
    '1.0M',
    '1.0T',
  ]);
  t.true([...Array(60).keys()].every((bit) => amount(2 ** bit - 1).length <= 5));
  t.deepEqual([0, 0.001, 0.5, 0.9999, 1.5, 64].map(percent), ['0.0', '0.1', '50.0', '100', '150', '6400']);
});

test('text is cut and filled by columns, not by characters', (t) => {
  t.is(fit('abc', 5), 'abc  ');
  t.is(fit('abcdef', 4), 'abc…');
  t.is(fit('日本語', 4), '日… ');
  t.is(fit('日本語', 6), '日本語');
  t.is(fit('x', 0), '');
  t.is(fitRight('ab', 4), '  ab');
});

test('keys sort, turn round, change the view and scroll no further than there are rows', (t) => {
  const extent = { count: 100, height: 10 };
  const after = (...keys: string[]): State => keys.reduce((at, key) => pressed(at, key, extent), state);
  t.is(after('m').sort, 'memory');
  t.like(after('m', 'm'), { sort: 'memory', reverse: true });
  t.like(after('m', 'm', 'i'), { sort: 'io', reverse: false });
  t.is(after('tab').view, 'pods');
  t.is(after('tab', 'tab', 't').view, 'both');
  t.is(after('down', 'down', 'up').offset, 1);
  t.is(after('page-down', ' ').offset, 20);
  t.is(after('end').offset, 90);
  t.is(after('end', 'page-down', 'home').offset, 0);
  t.is(after('end', 'c').offset, 0, 'another order begins at its first');
  t.is(pressed(state, 'end', { count: 3, height: 10 }).offset, 0);
  t.is(after('x', 'unknown', '__proto__', 'constructor'), state);
});

test('bytes of a terminal become keys, several at once and of sequences that nobody knows', (t) => {
  t.deepEqual(keysOf('m\u001b[A\u001bOB\u001b[5~\u001b[1;5Cq'), ['m', 'up', 'down', 'page-up', 'unknown', 'quit']);
  t.deepEqual(keysOf('\u0003\t\u001a'), ['quit', 'tab', 'suspend']);
  t.deepEqual(keysOf('\u001b'), ['unknown']);
  t.deepEqual(keysOf('é日🚢'), ['é', '日', '🚢']);
});

test('once: a table of containers with their figures, and a document with pods around them', (t) => {
  const [head, , first] = plainTable(pods, state).split('\n');
  t.regex(head ?? '', /^NAME +ID +CPU % +CPU LIMIT % +MEM +MEM LIMIT +MEM % +NET IN\/s/);
  t.regex(first ?? '', /^default\/web\/server +id-server000 +100 +200 +20M +40M +50\.0 +- +- +- +- +3$/);
  const { pods: told } = JSON.parse(jsonOf(pods, { ...state, sort: 'memory' }));
  t.deepEqual(
    told.map(({ pod }: { pod: string }) => pod),
    ['db', 'web'],
  );
  t.like(told[1].containers[0], { name: 'server', cpu: 1, cpuLimit: 2, memoryLimit: 40 * MiB });
});
