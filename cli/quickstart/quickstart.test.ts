import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';

const main = join(import.meta.dirname, 'main.js');

interface Run {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly ended: Promise<number>;
}

/** The quickstart in a network and a mount namespace of its own. */
const start = (...argv: string[]): Run => {
  const child = spawn('unshare', ['-nm', '--', process.execPath, main, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      text += data.toString();
    });
  return { child, output: () => text, ended: once(child, 'close').then(([code]) => Number(code)) };
};

const traces = async (): Promise<string[]> => {
  const cgroups = await readdir('/sys/fs/cgroup', { recursive: true }).catch(() => []);
  return [...cgroups, ...(await readdir(tmpdir()))].filter((name) => name.includes('berth-qs')).toSorted();
};

/** The daemon that the quickstart started: its direct child. */
const daemonOf = async (pid: number): Promise<number> => {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return Number(children.trim().split(' ')[0]);
};

test.serial('the quickstart tells its story, leaves nothing and ends with 0', async (t) => {
  const before = await traces();
  const { output, ended } = start();
  t.is(await ended, 0, output());
  t.regex(output(), /got: hello number \d+ from quickstart/);
  t.regex(output(), /memory that the pod costs: \d+ KiB: 2 × berth-shim \d+ KiB, 2 × hello \d+ KiB/);
  t.regex(output(), /Nothing is left: .*\nDone in/);
  t.deepEqual(await traces(), before);
});

test.serial('the quickstart leaves nothing either when its daemon is killed half way, and ends with 1', async (t) => {
  const before = await traces();
  const { child, output, ended } = start();
  for (let turn = 0; turn < 3000 && !output().includes('container server'); turn += 1) await sleep(10);
  process.kill(await daemonOf(child.pid ?? 0), 'SIGKILL');
  t.is(await ended, 1, output());
  t.regex(output(), /Nothing is left: .*\nFAILED in/);
  t.deepEqual(await traces(), before);
});

test.serial('the quickstart stops when told to, and leaves nothing', async (t) => {
  const before = await traces();
  const { child, output, ended } = start();
  for (let turn = 0; turn < 3000 && !output().includes('container server'); turn += 1) await sleep(10);
  child.kill('SIGTERM');
  t.is(await ended, 1, output());
  t.regex(output(), /quickstart: told to end\n(?:.|\n)*Nothing is left/);
  t.deepEqual(await traces(), before);
});
