import { readFileSync } from 'node:fs';
import test from 'ava';
import { deviceTests } from '../../harness/device-tests.ts';
import { idle, runPod, type TestPod } from '../../harness/pods.ts';
import { suiteDaemon } from '../../harness/suite.ts';
import { until } from '../../harness/until.ts';

const daemon = suiteDaemon();
deviceTests(daemon);
/** The machine's first disk, by whatever driver. */
const diskNumbers = (): string => {
  const [, major, minor] = /^ +(\d+) +(\d+) /m.exec(readFileSync('/proc/partitions', 'utf8')) ?? [];
  if (minor === undefined) throw new Error('/proc/partitions has no disk');
  return `${major} ${minor}`;
};
const makeDisk = `mknod /disk b ${diskNumbers()}`;
const read = 'head -c 4 /disk 2>&1';

const privileged = { security_context: { privileged: true } };
const privilegedPod = (): Promise<TestPod> => runPod(daemon(), { linux: privileged });

test('a container makes a node of the machine’s disk and may not open it', async (t) => {
  const { stdout } = await (await runPod(daemon())).output(`${makeDisk} && echo made; ${read}; echo x 2>&1 >/disk`);
  t.regex(stdout, /^made\n/);
  t.regex(stdout, /can't open '\/disk': Operation not permitted|\/disk: Operation not permitted/);
  t.notRegex(stdout, /^4$/m);
});

test('an exec may not either, nor a user without capabilities', async (t) => {
  const container = await (await runPod(daemon())).run(`${makeDisk}; chmod 666 /disk; echo made; ${idle}`);
  await until('the node is there', async () => (await container.text()) === 'made\n');
  t.regex((await container.exec(read)).stdout, /Operation not permitted/);
  t.regex((await container.exec(`su tester -s /bin/sh -c '${read}'`)).stdout, /Operation not permitted/);
});

test('the disk is read by a privileged container, in which nothing is refused', async (t) => {
  const { stdout, stderr } = await (await privilegedPod()).output(`${makeDisk}; head -c 4 /disk | wc -c`, {
    linux: privileged,
  });
  t.is(stdout, '4\n', stderr);
});

test('the devices that every container has work', async (t) => {
  const script = [
    'head -c 4 /dev/zero | wc -c',
    'head -c 4 /dev/urandom | wc -c',
    'echo x >/dev/null && echo written',
    'cat /dev/null | wc -c',
    'echo x 2>&1 >/dev/full',
    'test -c /dev/ptmx && exec 5<>/dev/ptmx && echo terminal',
  ];
  const { stdout, stderr } = await (await runPod(daemon())).output(script.join('; '));
  t.deepEqual(
    stdout.trim().split('\n'),
    ['4', '4', 'written', '0', 'sh: write error: No space left on device', 'terminal'],
    stderr,
  );
});

test('the rules hold for a nested cgroup of a pod’s parent, too', async (t) => {
  const pod = await runPod(daemon(), { linux: { cgroup_parent: daemon().parentOf('deep', 'er') } });
  const { stdout } = await pod.output(`${makeDisk}; ${read}`);
  t.regex(stdout, /Operation not permitted/);
});
