import type { Runtime } from '../runtime.ts';
import type { Sandbox, SandboxRecord } from '../state/sandbox.ts';

/** The one place where a sandbox's record changes: on disk first, then in memory. */
export const setRecord = async (
  runtime: Runtime,
  sandbox: Sandbox,
  change: Partial<Pick<SandboxRecord, 'state' | 'ips'>>,
): Promise<void> => {
  const record = { ...sandbox.record, ...change };
  await runtime.sandboxStore.save(record);
  sandbox.record = record;
};
