import { messageLimit } from '../../api/calls.ts';
import type { ExecSyncRequest, ExecSyncResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import { execSync } from '../../shim/exec.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import { orEnded } from './ended.ts';
import { execPlan } from './exec-plan.ts';
import { runningContainer } from './running.ts';

/** Runs a command in a running container and gives its output: at most `exec.output_limit` bytes a stream, and what one message holds. */
export const execSyncInContainer = async (
  runtime: Runtime,
  request: ExecSyncRequest,
  call: { readonly signal: AbortSignal },
): Promise<ExecSyncResponse> => {
  checkRequest(request);
  const container = runningContainer(runtime, request.container_id, 'exec in');
  const plan = await execPlan(runtime, container, request.cmd);
  const work = execSync(containerPaths(runtime.config, container.id).bundle, plan, {
    timeoutMs: Math.min(Number(request.timeout) * 1000, longestMs),
    signal: call.signal,
    limit: runtime.config.exec.output_limit,
  });
  const { stdout, stderr, exitCode } = await orEnded(container, 'exec in', work, call);
  return { ...fitting(stdout, stderr), exit_code: exitCode };
};

/** The longest timer that Node has, 24 days; a longer one would fire at once. */
const longestMs = 2 ** 31 - 1;

/** What both streams may have in one answer: gRPC's limit, less what frames them. */
const room = messageLimit - 1024;

/** The part of the output that fits into one message: half of it is sure for each stream, and what one leaves the other gets. */
export const fitting = (stdout: Buffer, stderr: Buffer): { readonly stdout: Buffer; readonly stderr: Buffer } => ({
  stdout: stdout.subarray(0, Math.max(room / 2, room - stderr.length)),
  stderr: stderr.subarray(0, Math.max(room / 2, room - stdout.length)),
});

const checkRequest = ({ container_id, cmd, timeout }: ExecSyncRequest): void => {
  if (cmd.length === 0) throw invalid(`exec in container ${container_id}: cmd is empty`);
  if (timeout < 0n) throw invalid(`exec in container ${container_id}: timeout is ${timeout}`);
};
