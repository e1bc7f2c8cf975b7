// `berth top`, at a terminal of its own: what its screen shows, what keys do, and that the terminal is left as it was.
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'ava';
import { idle, runPod } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';
import { sourceTree } from './harness/tree.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon();
const command = join(sourceTree, 'bin/berth');

const esc = '\u001b';
const entered = `${esc}[?1049h`;
const left = `${esc}[?1049l`;

/** A shell with berth top in it, at a terminal of 20 lines and 90 columns that `script` makes. */
class Terminal {
  #bytes = '';
  readonly #child;
  readonly #ended: Promise<unknown[]>;

  constructor(words: string) {
    const { world, address } = daemon();
    const inner = `stty rows 20 cols 90; stty -a >${world.path('before')}; tty >${world.path('tty')};
      LANG=C.UTF-8 TERM=xterm sh -c 'echo $$ >${world.path('pid')}; exec ${command} --address ${address} top ${words}';
      echo "ended $?"; stty -a >${world.path('after')}`;
    this.#child = world.spawn('script', ['-qec', inner, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout?.on('data', (data) => {
      this.#bytes += data;
    });
    this.#ended = once(this.#child, 'close');
  }

  get bytes(): string {
    return this.#bytes;
  }

  /** The lines of the last whole frame, without colours. */
  get screen(): readonly string[] {
    const frame =
      this.#bytes
        .slice(0, this.#bytes.lastIndexOf(`${esc}[J`))
        .split(`${esc}[H`)
        .at(-1) ?? '';
    return frame.split('\r\n').map((line) => line.replaceAll(/[^\P{Cc}]\[[0-9;]*[mK]/gu, '').trimEnd());
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  /** Waits until the screen has a line that fits, and gives the screen. */
  shows(line: RegExp): Promise<readonly string[]> {
    return until(`a line ${line} in\n${this.screen.join('\n')}`, () => {
      const { screen } = this;
      return Promise.resolve(screen.some((one) => line.test(one)) && screen);
    });
  }

  /** What is on the terminal when all has ended; the modes of before and after. */
  async end(): Promise<{ readonly said: string; readonly same: boolean }> {
    await this.#ended;
    const { world } = daemon();
    const modes = await world.sh(`cmp ${world.path('before')} ${world.path('after')} && echo same`);
    await world.sh(`rm ${['before', 'after', 'tty', 'pid'].map((name) => world.path(name)).join(' ')}`);
    return { said: this.#bytes.slice(this.#bytes.lastIndexOf(left)), same: modes === 'same\n' };
  }
}

test('berth top shows pods and containers with what they use, sorts and turns its view by keys, follows the terminal’s size, waits for a daemon that is away, and leaves the terminal as it was', async (t) => {
  const { world } = daemon();
  const linux = { resources: { memory_limit_in_bytes: 64n << 20n } };
  const busy = await runPod(daemon(), { metadata: { name: 'busy' } });
  await busy.run('trap "exit 0" TERM; while :; do :; done', { metadata: { name: 'burns' }, linux });
  const quiet = await runPod(daemon(), { metadata: { name: 'quiet' } });
  await quiet.run(idle, { metadata: { name: 'sleeps' } });
  const terminal = new Terminal('--interval 0.2');
  const screen = await terminal.shows(/^ {2}burns +\d\d+(\.\d)? .*█.* 64M/);
  t.true(terminal.bytes.includes(entered));
  t.regex(screen[0] ?? '', /^berth top {2}\d\d:\d\d:\d\d {2}2 pods, 2 containers, every 0\.2 s/);
  t.regex(screen[2] ?? '', /^POD +CPU %▼/);
  t.deepEqual(
    screen.slice(3, 7).map(
      (line) =>
        line
          .split(/ {2,}/)
          .find((word) => word !== '')
          ?.split(' ')[0],
    ),
    ['default/busy', 'burns', 'default/quiet', 'sleeps'],
  );
  t.regex(screen[6] ?? '', /^ {2}sleeps .* 2$/, 'the shell and its sleep');
  terminal.type('aa');
  t.regex((await terminal.shows(/^POD▲/))[3] ?? '', /^default\/quiet/);
  terminal.type('\t\t');
  t.regex((await terminal.shows(/^CONTAINER▲/))[3] ?? '', /^default\/quiet\/sleeps/);
  await world.sh(`stty -F $(cat ${world.path('tty')}) rows 9 cols 50`);
  const small = await terminal.shows(/^CONTAINER▲ .*CPU %/);
  await until('it has nine lines', () => Promise.resolve(terminal.screen.length === 9));
  t.true(small.every((line) => line.length <= 90));
  t.true(terminal.screen.every((line) => line.length <= 50));
  await world.sh(`stty -F $(cat ${world.path('tty')}) rows 20 cols 90`);
  await daemon().kill();
  await terminal.shows(/^no figures, trying again: nobody answers on unix:/);
  t.true(
    terminal.screen.some((line) => line.startsWith('default/quiet/sleeps')),
    'what was known stays',
  );
  await daemon().boot();
  await terminal.shows(/^berth top .* 2 pods/);
  await world.sh(`kill -TERM $(cat ${world.path('pid')})`);
  const { said, same } = await terminal.end();
  t.regex(said, /ended 0/);
  t.true(same, 'the modes of the terminal');
});

test('berth top is one table where there is no terminal, or one JSON document', async (t) => {
  const { world, address } = daemon();
  const pod = await runPod(daemon(), { metadata: { name: 'burner' } });
  const linux = { resources: { cpu_quota: 50_000n, cpu_period: 100_000n } };
  const { id } = await pod.run('trap "exit 0" TERM; while :; do :; done', { metadata: { name: 'burns' }, linux });
  const run = (...words: string[]) => world.run(command, ['--address', address, 'top', ...words]);
  const [table, json, wrong] = await Promise.all([run('-i', '0.3'), run('--json', '-i', '0.3'), run('--sort', 'x')]);
  t.is(table.stderr, '');
  const row = table.stdout.split('\n').find((line) => line.startsWith('default/burner/burns')) ?? '';
  t.is(row.split(/ +/)[1], id.slice(0, 12));
  t.is(row.split(/ +/)[3], '50.0', 'its limit');
  const { cpu, cpuLimit, pids } = JSON.parse(json.stdout).pods[0].containers[0];
  t.true(cpu > 0.02 && cpu < 0.8, `${cpu} of a processor that it may have half of`);
  t.deepEqual([cpuLimit, pids], [0.5, 1]);
  t.is(wrong.status, 2);
  t.regex(wrong.stderr, /--sort: wants one of cpu, memory/);
});
