import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { basename } from 'node:path';
import test from 'ava';
import { TestDaemon } from './daemon.ts';
import { idle, runPod } from './pods.ts';

/** Who removes the directories above a container's cgroup; the same on cgroup v1 and v2. `roots`: every hierarchy. */
export const parentTests = (roots: readonly string[]): void => {
  const there = (path: string): number => roots.filter((root) => existsSync(root + path)).length;

  test('a parent that a pod’s containers made goes with the last pod that uses it', async (t) => {
    t.true(roots.length > 0);
    await using daemon = await TestDaemon.start();
    const own = daemon.parentOf();
    const deep = daemon.parentOf('kubepods', 'burstable');
    const first = await runPod(daemon);
    const second = await runPod(daemon, { linux: { cgroup_parent: deep } });
    await first.run(idle);
    await second.run(idle);
    t.is(there(deep), roots.length);
    await daemon.killAndBoot();
    await second.remove();
    t.is(there(daemon.parentOf('kubepods')), 0, 'the parents of the second pod alone');
    t.is(there(own), roots.length, 'the first pod is in it');
    // A container that was created before the parent went is started in a new one.
    const third = await runPod(daemon);
    const created = await third.create(idle);
    await first.remove();
    await created.start();
    t.is((await created.status()).state, 'CONTAINER_RUNNING');
    await third.remove();
    t.is(there(own), 0);
    const pair = await Promise.all([runPod(daemon), runPod(daemon)]);
    for (const pod of pair) await pod.run(idle);
    await Promise.all(pair.map((pod) => pod.remove()));
    t.is(there(own), 0, 'two that went at once');
  });

  test('a parent that was there before stays, empty as it is', async (t) => {
    await using daemon = await TestDaemon.start();
    const given = daemon.parentOf('given');
    const ours = daemon.parentOf('given', 'pod');
    if (daemon.world.systemd) execFileSync('systemctl', ['start', basename(given)]);
    else for (const root of roots) mkdirSync(`${root}${given}`, { recursive: true });
    t.teardown(() => {
      if (!daemon.world.systemd) for (const root of roots) if (existsSync(root + given)) rmdirSync(root + given);
    });
    const pod = await runPod(daemon, { linux: { cgroup_parent: ours } });
    await pod.output('true');
    t.is(there(ours), roots.length);
    await pod.remove();
    t.is(there(ours), 0);
    t.is(there(given), roots.length);
  });

  test('a pod whose container never ran leaves no parent and removes none', async (t) => {
    await using daemon = await TestDaemon.start();
    const pod = await runPod(daemon);
    await pod.create('true');
    await pod.remove();
    t.is(there(daemon.parentOf()), 0);
  });
};
