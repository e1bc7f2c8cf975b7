import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, messageOf } from '../../../base/errors.ts';
import { Agent } from '../../../shim/agent.ts';
import { notLookedYet } from '../current.ts';
import { Network } from '../network.ts';
import type { NetworkConfig, NetworkLog, NetworkSandbox } from '../types.ts';

/**
 * The Network alone in a process, so that a test can run it in namespaces of its own and kill it. Reads one request a
 * line, `{id, method, params}`, and writes one answer a line, `{id, result}` or `{id, error: {code, message}}`.
 */
interface Options {
  readonly root: string;
  readonly config: NetworkConfig;
  readonly retryMs?: number;
}

interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

const print = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const say = (fields: object, message: string): void => print({ log: message, fields });
const log: NetworkLog = { debug: () => undefined, info: say, warn: say };

const options = JSON.parse(process.argv[2] ?? '{}') as Options;
const agent = await Agent.start({ log: { warn: say, error: say } });
const network = await Network.open({
  agent,
  log,
  watchTimes: { settleMs: 50, rescanMs: 500 },
  ...options,
});

// An emulated machine (BERTH_SLOW) takes longer for the plugins' first answers than a start waits for them.
const patience = performance.now() + (Number(process.env.BERTH_SLOW ?? 1) - 1) * 2000;
while (network.status().message === notLookedYet.status.message && performance.now() < patience) await delay(100);

const methods: Readonly<Record<string, (params: unknown) => unknown>> = {
  setup: (params) => {
    const { sandbox, timeoutMs } = params as { sandbox: NetworkSandbox; timeoutMs: number };
    return network.setup(sandbox, AbortSignal.timeout(timeoutMs));
  },
  teardown: (params) => network.teardown(params as NetworkSandbox),
  check: (params) => network.check((params as { id: string }).id),
  status: () => network.status(),
  recover: () => network.recover(),
  updatePodCidr: (params) => network.updatePodCidr(params as string, new AbortController().signal),
  collect: (params) => network.collect(params as string[]),
};

const answer = async ({ id, method, params }: Request): Promise<void> => {
  try {
    print({ id, result: (await methods[method]?.(params)) ?? null });
  } catch (error) {
    print({ id, error: { code: codeOf(error), message: messageOf(error) } });
  }
};

const close = async (): Promise<void> => {
  await network[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
};

print({ id: 0, result: 'ready' });
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => void answer(JSON.parse(line) as Request));
lines.on('close', () => void close());
