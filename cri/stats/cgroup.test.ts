import { mkdirSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { CgroupReader } from './cgroup.ts';
import { CpuRates } from './rates.ts';

const files = {
  'cpu.stat': 'usage_usec 7000000\nuser_usec 1\n',
  'memory.stat': 'anon 4096\nfile 8192\ninactive_file 1000\nactive_file 2000\npgfault 5\npgmajfault 2\n',
  'memory.current': '10000\n',
  'memory.max': 'max\n',
  'pids.current': '3\n',
};

const makeCgroup = (mount: string, path: string): void => {
  mkdirSync(mount + path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(mount + path, name), text);
};

/** Files of this directory that this process has open. */
const openIn = (mount: string): readonly string[] =>
  readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    })
    .filter((link) => link.startsWith(mount))
    .map((link) => link.slice(mount.length))
    .toSorted();

const withReader = (action: (reader: CgroupReader, mount: string) => void): Promise<void> =>
  withDir(
    async ({ path: mount }) => {
      const unified = { mount, controllers: [] };
      using reader = new CgroupReader({ version: 2, hybrid: false, hierarchies: [], unified, swap: true });
      action(reader, mount);
    },
    { unsafeCleanup: true },
  );

test('figures come from the kernel’s files, and nothing is told of a cgroup that is not there', (t) =>
  withReader((reader, mount) => {
    makeCgroup(mount, '/a');
    const { cpu, memory } = reader.figures('/a');
    t.is(cpu, 7_000_000_000n);
    t.like(memory, { usage: 10_000n, workingSet: 9000n, rss: 4096n, cache: 8192n, activeFile: 2000n, faults: 5n });
    t.is(reader.processes('/a'), 3n);
    t.deepEqual(
      [reader.figures('/b').cpu, reader.figures('/b').memory, reader.cpu('/b')],
      [undefined, undefined, undefined],
    );
  }));

test('descriptors are kept of the cgroups that there are, and given back when these have gone', (t) =>
  withReader((reader, mount) => {
    for (const path of ['/a', '/b']) {
      makeCgroup(mount, path);
      reader.figures(path);
    }
    const ofA = ['/a/cpu.stat', '/a/memory.current', '/a/memory.max', '/a/memory.stat'];
    t.deepEqual(
      openIn(mount).filter((path) => path.startsWith('/a')),
      ofA,
    );
    t.is(openIn(mount).length, 2 * ofA.length);
    reader.keepOnly(new Set(['/a']));
    t.deepEqual(openIn(mount), ofA);
    rmSync(join(mount, 'a'), { recursive: true });
    makeCgroup(mount, '/a');
    reader.keepOnly(new Set());
    t.deepEqual(openIn(mount), []);
    t.is(reader.figures('/a').cpu, 7_000_000_000n);
    reader[Symbol.dispose]();
    t.deepEqual(openIn(mount), []);
  }));

test('of a cgroup that nobody asks for only what is sampled stays open', (t) =>
  withReader((reader, mount) => {
    makeCgroup(mount, '/a');
    reader.processes('/a');
    t.is(reader.cpu('/a')?.cpu, 7_000_000_000n);
    t.deepEqual(openIn(mount), ['/a/cpu.stat', '/a/pids.current']);
    const before = performance.now();
    const { now } = performance;
    try {
      performance.now = () => before + 61_000;
      reader.keepOnly(new Set(['/a']));
    } finally {
      performance.now = now;
    }
    t.deepEqual(openIn(mount), ['/a/cpu.stat']);
  }));

test('a clock that is set changes the time that figures tell, and no rate', (t) =>
  withReader((reader, mount) => {
    makeCgroup(mount, '/a');
    const { steadyAt = 0n, cpu = 0n } = reader.cpu('/a') ?? {};
    const rates = new CpuRates();
    rates.sampled(new Map([['/a', { steadyAt: steadyAt - 10_000_000_000n, cpu }]]));
    const told = reader.figures('/a').at;
    writeFileSync(join(mount, 'a/cpu.stat'), 'usage_usec 12000000\n');
    const { now } = Date;
    try {
      Date.now = () => now() - 86_400_000;
      const figures = reader.figures('/a');
      t.true(figures.at < told - 86_000_000_000_000n);
      const rate = Number(rates.nanoCores('/a', { steadyAt: figures.steadyAt, cpu: figures.cpu ?? 0n }));
      t.true(rate > 4e8 && rate <= 5e8, `${rate} nanoseconds a second`);
    } finally {
      Date.now = now;
    }
  }));
