import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import test from 'ava';

const left = new URL('left.js', import.meta.url).href;

/** What a bench says and ends with that measures by `action`, and in which something throws that nobody waits for. */
const run = async (action: string): Promise<{ readonly status: unknown; readonly said: string }> => {
  const script = `
    import { Interruption } from ${JSON.stringify(left)};
    await using interruption = new Interruption(50);
    setTimeout(() => { throw new Error('from nowhere'); }, 10);
    await ${action}.catch(() => undefined);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'pipe'] });
  const [said, [status]] = await Promise.all([text(child.stderr), once(child, 'close')]);
  return { status, said: said.replaceAll(String(child.pid), 'PID') };
};

const fault = 'bench: an error that nobody waited for: from nowhere\n';

test('an error that nobody waits for is told, where something is measured and where nothing is', async (t) => {
  const cleans = `interruption.race(() => new Promise((resolve) => setTimeout(resolve, 20)))`;
  t.deepEqual(await run(cleans), { status: 1, said: fault });
  t.deepEqual(await run(`new Promise((resolve) => setTimeout(resolve, 100))`), { status: 1, said: fault });
});

test('what is interrupted and does not clean up in time is told with the names of what it may leave', async (t) => {
  const { status, said } = await run('interruption.race(() => new Promise(() => {}))');
  t.is(status, 1);
  t.is(
    said,
    `${fault}bench: what was interrupted has not cleaned up in 50 ms: pods whose names begin with bench-PID- may be left\n`,
  );
});
