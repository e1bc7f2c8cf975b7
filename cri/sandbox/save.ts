import type { Runtime } from '../runtime.ts';
import type { Sandbox, SandboxRecord } from '../state/sandbox.ts';

/**
 * The one place where a sandbox's record changes: on disk first, then in memory. Only `ready` is synced: the other states are
 * for a daemon that died, and after a power loss there is no namespace that they could speak of.
 */
export const setRecord = async (
  runtime: Runtime,
  sandbox: Sandbox,
  change: Partial<Pick<SandboxRecord, 'state' | 'ips' | 'overhead' | 'resources'>>,
): Promise<void> => {
  const record = { ...sandbox.record, ...change };
  await runtime.sandboxStore.save(record, { durable: record.state === 'ready' });
  sandbox.record = record;
};
