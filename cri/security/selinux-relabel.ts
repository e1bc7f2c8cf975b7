import { BerthError, invalid } from '../../base/errors.ts';
import type { RunRequest, RunResult } from '../../shim/agent.ts';

/** Another label on one of these, and the node's own programs lose what they live from. */
const nodesOwn = [
  '/',
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/home',
  '/lib',
  '/lib64',
  '/opt',
  '/proc',
  '/root',
  '/run',
].concat(['/sbin', '/srv', '/sys', '/tmp', '/usr', '/var', '/var/lib', '/var/run', '/var/tmp']);

/** Errors: `invalid-argument` for a path that the node itself lives from. */
export const checkRelabel = (path: string): void => {
  const clean = path.replace(/\/+/g, '/').replace(/(?<=.)\/$/, '');
  if (nodesOwn.includes(clean) || clean.startsWith('/usr/') || clean.startsWith('/proc/') || clean.startsWith('/sys/'))
    throw invalid(`mount: selinux_relabel of ${clean}: the node itself lives from it`);
};

/**
 * Gives the label to the paths and to all below them, links themselves and not what they lead to. A file system that
 * takes no labels is left as it is, as the kernel then has one of its own for it.
 */
export const relabel = async (
  runner: { run(request: RunRequest): Promise<RunResult> },
  label: string,
  paths: readonly string[],
): Promise<void> => {
  if (paths.length === 0) return;
  const argv = ['/usr/bin/chcon', '--recursive', '-P', '--no-dereference', '--', label, ...paths];
  const ended = await runner.run({ argv, env: { LC_ALL: 'C' }, timeoutMs: 120_000, name: 'chcon' });
  const problems = ended.stderr
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.endsWith('Operation not supported'));
  if (ended.code === 0 || (problems.length === 0 && ended.stderr.length > 0)) return;
  const cause = problems[0]?.slice(0, 500) ?? `ended with ${ended.code}`;
  throw new BerthError('failed-precondition', `selinux_relabel with ${label}: ${cause}`);
};
