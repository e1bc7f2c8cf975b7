import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { dir } from 'tmp-promise';
import { TestDaemon } from './harness/daemon.ts';
import { runPod, type TestContainer } from './harness/pods.ts';
import { sourceTree } from './harness/tree.ts';
import { until } from './harness/until.ts';

test('each init and each exec has a session keyring of its own: no key of the daemon, of another container or of another exec is found', async (t) => {
  const built = await dir({ prefix: 'bt', unsafeCleanup: true });
  const program = join(built.path, 'keyring');
  const source = join(sourceTree, 'critest/harness/programs/keyring.c');
  await promisify(execFile)('gcc', ['-static', '-o', program, source]);
  // What the daemon is started with goes on to the agent and to each supervisor.
  await using daemon = await TestDaemon.start({ through: [program, 'hold', 'of-the-daemon', '600'] });
  const say = async (container: TestContainer, ...words: string[]): Promise<string> => {
    const { stdout, stderr } = await container.exec(['keyring', ...words]);
    return `${stdout}${stderr}`.trim();
  };
  const ids = new Set<string>();
  const own = async (text: string): Promise<void> => {
    t.regex(text, /^\d+$/);
    t.false(ids.has(text));
    ids.add(text);
  };
  for (const pid of ['CONTAINER', 'POD'] as const)
    for (const user of [{}, { run_as_user: { value: 1000n } }]) {
      const security_context = { namespace_options: { pid }, ...user };
      const pod = await runPod(daemon, { linux: { security_context } });
      const linux = { security_context };
      const script = 'keyring; keyring find of-the-daemon; keyring add of-a-container 600; keyring find of-a-container';
      const container = await pod.run(`${script}; sleep 86400`, { linux });
      const other = (await pod.output('keyring; keyring find of-a-container', { linux })).stdout.trim().split('\n');
      await until('it has told', async () => (await container.lines()).length === 4);
      const [id = '', ofDaemon, added, ofItself] = (await container.text()).trim().split('\n');
      t.deepEqual([ofDaemon, added, ofItself], ['nothing', 'added', 'found']);
      t.is(other[1], 'nothing');
      await own(id);
      await own(other[0] ?? '');
      await own(await say(container));
      t.is(await say(container, 'find', 'of-the-daemon'), 'nothing');
      t.is(await say(container, 'find', 'of-a-container'), 'nothing');
      t.is(await say(container, 'add', 'of-an-exec', '600'), 'added');
      t.is(await say(container, 'find', 'of-an-exec'), 'nothing');
    }
  await built.cleanup();
});
