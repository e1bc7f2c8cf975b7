import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { readKernelFile } from '../kernel-file.ts';
import { readProcesses } from './processes.ts';

/** A cgroup that has this process. */
const own = (): Disposable & { readonly mount: string; readonly mode: Parameters<typeof readProcesses>[0] } => {
  const mount = mkdtempSync(join(tmpdir(), 'processes-'));
  writeFileSync(join(mount, 'cgroup.procs'), `${process.pid}\n`);
  const mode = { version: 2, hybrid: false, hierarchies: [], unified: { mount, controllers: [] }, swap: true } as const;
  return { mount, mode, [Symbol.dispose]: () => rmSync(mount, { recursive: true, force: true }) };
};

test('a file with a path that the kernel cannot tell counts as open and fails nobody', async (t) => {
  using cgroup = own();
  const from = process.cwd();
  const name = 'd'.repeat(255);
  const descriptors: number[] = [];
  try {
    process.chdir(cgroup.mount);
    for (let level = 0; level < 20; level++) {
      mkdirSync(name);
      process.chdir(name);
    }
    const before = await readProcesses(cgroup.mode, '', async () => undefined);
    for (let i = 0; i < 10; i++) descriptors.push(openSync('.', 'r'));
    const { descriptors: after } = await readProcesses(cgroup.mode, '', async () => undefined);
    t.true(after >= before.descriptors + 10n);
  } finally {
    process.chdir(from);
    for (const descriptor of descriptors) closeSync(descriptor);
  }
});

test('a process that may not be looked into counts, and takes nothing from the others', async (t) => {
  using cgroup = own();
  const { seteuid } = process;
  if (seteuid === undefined) return t.fail();
  const nobody = 65_534;
  const child = spawn('sleep', ['60'], { uid: nobody, gid: nobody, stdio: 'ignore' });
  await once(child, 'spawn');
  // Before it sleeps it opens and closes its libraries.
  const sleeps = (): boolean => / \(sleep\) S /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8'));
  for (let look = 0; look < 2000 && !sleeps(); look += 1) await wait(5);
  writeFileSync(join(cgroup.mount, 'cgroup.procs'), `${process.ppid}\n${child.pid}\n`);
  chmodSync(cgroup.mount, 0o755);
  try {
    seteuid(nobody);
    t.throws(() => readdirSync(`/proc/${process.ppid}/fd`), { code: 'EACCES' });
    const figures = await readProcesses(cgroup.mode, '', async () => undefined);
    t.is(figures.processes, 2n);
    t.is(figures.descriptors, BigInt(readdirSync(`/proc/${child.pid}/fd`).length));
    t.true(figures.descriptors >= 3n);
  } finally {
    seteuid(0);
    child.kill('SIGKILL');
  }
});

test('the open files of one process are looked at in pieces', async (t) => {
  using cgroup = own();
  const descriptors = Array.from({ length: 1000 }, () => openSync('/dev/null', 'r'));
  let pauses = 0;
  const pause = async (): Promise<void> => {
    pauses += 1;
  };
  const { descriptors: found } = await readProcesses(cgroup.mode, '', pause);
  for (const descriptor of descriptors) closeSync(descriptor);
  t.true(found >= 1000n);
  t.true(pauses >= 10);
});

test('a file of the kernel that takes more than a page is read to its end', (t) => {
  const last = (text: string | undefined): string | undefined => text?.trim().split('\n').at(-1);
  const text = readKernelFile('/proc/self/maps') ?? '';
  t.true(text.length > 8192);
  t.is(last(text), last(readFileSync('/proc/self/maps', 'latin1')));
});
