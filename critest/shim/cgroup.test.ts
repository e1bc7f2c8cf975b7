import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { messageOf } from '../../base/errors.ts';
import { endCgroup } from '../../shim/cgroup.ts';
import { leavesNothing } from '../harness/leaves-nothing.ts';
import { until } from '../harness/until.ts';
import type { World } from '../harness/world.ts';
import { Isolated } from './isolated.ts';
import { Room } from './room.ts';

interface Hierarchy {
  readonly version: 1 | 2;
  readonly directories: readonly string[];
}

/** Where this machine mounts its cgroups: the v2 tree, and two controllers of v1 where it has them. */
const hierarchies = async (): Promise<readonly Hierarchy[]> => {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => line.split(' '));
  const of = (type: string): string[] =>
    lines.filter((line) => line[line.indexOf('-') + 1] === type).map((line) => line[4] ?? '');
  const v1 = of('cgroup').filter((path) => /\/(freezer|pids)$/.test(path));
  return [
    ...of('cgroup2').map((path) => ({ version: 2 as const, directories: [path] })),
    ...(v1.length > 0 ? [{ version: 1 as const, directories: v1 }] : []),
  ];
};

/** A cgroup of the test's own in each directory, with one below it; `joins` are the files to start in. */
class Cgroup {
  readonly directories: readonly string[];
  readonly joins: readonly string[];

  private constructor(directories: readonly string[], version: 1 | 2) {
    this.directories = directories;
    this.joins = directories.map((path) => join(path, version === 1 ? 'tasks' : 'cgroup.procs'));
  }

  /** Called after the world, at whose end it goes. */
  static async make({ version, directories }: Hierarchy, world: World): Promise<Cgroup> {
    const paths = directories.map((directory) => join(directory, world.cgroup));
    const cgroup = new Cgroup(paths, version);
    for (const path of paths) await mkdir(join(path, 'below'), { recursive: true });
    return cgroup;
  }

  async exists(): Promise<boolean> {
    const found = await Promise.all(
      this.directories.map((path) => readFile(join(path, 'cgroup.procs')).catch(() => null)),
    );
    return found.some((file) => file !== null);
  }

  /** In the cgroup and below it, of each hierarchy. */
  async pids(): Promise<number> {
    const count = async (path: string): Promise<number> =>
      (await readFile(join(path, 'cgroup.procs'), 'utf8')).split('\n').length - 1;
    const counts = this.directories.map(async (path) => (await count(path)) + (await count(join(path, 'below'))));
    return Math.min(...(await Promise.all(counts)));
  }
}

const programs = (room: Room, { joins }: Cgroup, script: string) => {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
  const argv = ['/bin/sh', '-c', script];
  const run = room.agent.run({ name: 'shell', argv, env, cgroupProcs: joins, timeoutMs: 30_000 });
  return run.catch((error: unknown) => messageOf(error));
};

for (const hierarchy of await hierarchies())
  for (const without of [[], ['cgroupKill']] as const) {
    const title = `v${hierarchy.version}${without.length > 0 ? ' without cgroup.kill' : ''}`;

    test(`${title}: all in a cgroup and below it is killed, and the cgroup removed; twice is fine`, async (t) => {
      await using room = await Room.make(without);
      const cgroup = await Cgroup.make(hierarchy, room.world);
      const below = cgroup.directories.map((path) => join(path, 'below/cgroup.procs'));
      const runs = [
        programs(room, cgroup, 'trap "" TERM HUP; for i in 1 2 3; do sleep 60 & done; wait'),
        programs(room, cgroup, `${below.map((file) => `echo 0 > ${file}; `).join('')}setsid sleep 60; true`),
      ];
      await until('all run', async () => (await cgroup.pids()) >= 6);
      await endCgroup(room.agent, cgroup.directories);
      t.false(await cgroup.exists());
      for (const result of await Promise.all(runs)) t.is(typeof result === 'string' ? result : result.signal, 9);
      await endCgroup(room.agent, cgroup.directories);
    });

    test(`${title}: processes that fork all the time are killed`, async (t) => {
      await using room = await Room.make(without);
      const cgroup = await Cgroup.make(hierarchy, room.world);
      const run = programs(room, cgroup, 'for i in $(seq 2000); do (sleep 0.01 &) ; done; sleep 60');
      await until('many run', async () => (await cgroup.pids()) > 3);
      await endCgroup(room.agent, cgroup.directories);
      t.false(await cgroup.exists());
      await run;
    });

    test(`${title}: a frozen cgroup is ended, too`, async (t) => {
      await using room = await Room.make(without);
      const cgroup = await Cgroup.make(hierarchy, room.world);
      const run = programs(room, cgroup, 'sleep 60 & wait');
      await until('it runs', async () => (await cgroup.pids()) >= 2);
      const [file, value] = hierarchy.version === 1 ? ['freezer.state', 'FROZEN'] : ['cgroup.freeze', '1'];
      for (const path of cgroup.directories) await writeFile(join(path, file), value).catch(() => undefined);
      await endCgroup(room.agent, cgroup.directories);
      t.false(await cgroup.exists());
      await run;
    });
  }

test('what is no cgroup, or the root of a hierarchy, is refused and left alone', async (t) => {
  await using isolated = await Isolated.start();
  await isolated.text(`mkdir ${isolated.path('directory')}`);
  await t.throwsAsync(endCgroup(isolated.agent, [isolated.path('directory')]), { message: /not a cgroup/ });
  t.is(await isolated.text(`ls ${isolated.directory}`), 'agent\ndirectory');
  const [first] = await hierarchies();
  await t.throwsAsync(endCgroup(isolated.agent, [first?.directories[0] ?? '']), { message: /root of a hierarchy/ });
});

leavesNothing();
