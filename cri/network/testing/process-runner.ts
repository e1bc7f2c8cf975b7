import { spawn } from 'node:child_process';
import { BerthError } from '../../../base/errors.ts';
import { step } from '../../../base/step.ts';
import type { PluginOutput, PluginRequest, PluginRunner } from '../types.ts';

/** `$0` is the lock file: the process group's id goes in, and flock's descriptor is inherited by all that it starts. */
const underLock = 'echo $$ > "$0"; exec flock "$0" "$@"';

const wrap = ({ lock, argv }: PluginRequest): readonly string[] =>
  lock === undefined ? argv : ['/bin/sh', '-c', underLock, lock, ...argv];

/** Runs plugins as children of this process. For tests that need no agent. */
export class ProcessRunner implements PluginRunner {
  run(request: PluginRequest): Promise<PluginOutput> {
    return step(request.name, () => start(request));
  }

  async endHolder(path: string, waitMs: number): Promise<void> {
    const script = `test -e "$0" || exit 0; flock -w ${waitMs / 1000} "$0" true || { kill -9 -$(cat "$0"); flock -w 5 "$0" true; }`;
    const output = await start({
      name: 'end holder',
      argv: ['/bin/sh', '-c', script, path],
      env: { PATH: '/usr/bin:/bin' },
      stdin: Buffer.alloc(0),
      timeoutMs: waitMs + 10_000,
    });
    if (output.code !== 0) throw new BerthError('internal', `end holder of ${path}: ${Buffer.from(output.stderr)}`);
  }
}

const start = (request: PluginRequest): Promise<PluginOutput> =>
  new Promise((resolve, reject) => {
    const [program = '', ...rest] = wrap(request);
    const child = spawn(program, rest, { env: request.env, cwd: '/', detached: true });
    const end = (error: BerthError) => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      reject(error);
    };
    const timer = setTimeout(() => end(new BerthError('deadline-exceeded', 'took too long')), request.timeoutMs);
    request.signal?.addEventListener('abort', () => end(new BerthError('cancelled', 'cancelled')), { once: true });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (data: Buffer) => stdout.push(data));
    child.stderr.on('data', (data: Buffer) => stderr.push(data));
    child.stdin.on('error', () => undefined);
    child.stdin.end(request.stdin);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({
        code: code ?? 0,
        signal: signal === null ? 0 : 9,
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr),
      });
    });
  });
