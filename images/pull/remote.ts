import type { Digest } from '../../base/digest.ts';
import type { Limit } from '../limit.ts';
import { timed } from '../meter.ts';
import { nameOf, type Reference } from '../reference.ts';
import { Registry } from '../registry/client.ts';
import { endpointsOf } from '../registry/hosts/endpoints.ts';
import type { Keyring } from '../registry/keyring.ts';
import type { RangeWindow } from '../registry/ranges.ts';
import type { RetryPolicy } from '../registry/temporary.ts';
import type { Transport } from '../registry/transport.ts';
import type { Log, Platform, Progress, RegistrySettings } from '../types.ts';
import type { Policies } from '../verify/policies.ts';
import { verifyImage } from '../verify/verify.ts';
import { PullLog } from './log.ts';
import { type PullJob, type PullTools, pullImage } from './pull.ts';

export interface RemoteTools extends PullTools {
  readonly transport: Transport;
  readonly registry: RegistrySettings;
  readonly retries: RetryPolicy | undefined;
  readonly window: RangeWindow | undefined;
  /** How many pulls are under way; the others wait in line. */
  readonly pulls: Limit;
  /** Which images may be pulled. */
  readonly policies: Policies;
  readonly log: Log;
}

export interface RemoteJob {
  readonly reference: Reference;
  /** Of the pod that it is pulled for; undefined for none. */
  readonly namespace: string | undefined;
  /** The normalised name, for the log. */
  readonly name: string;
  readonly keyring: Keyring;
  /** Stands for what the caller can show. */
  readonly user: string;
  readonly platforms: readonly Platform[];
  readonly signal: AbortSignal;
  readonly report: (event: Progress) => void;
}

/** Pulls from the hosts that the configuration has for the reference at this moment. Gives the image id. */
export const pullRemote = (tools: RemoteTools, job: RemoteJob): Promise<Digest> => {
  const { meter } = tools;
  const queued = performance.now();
  return tools.pulls.run(job.signal, async () => {
    meter.stage('queue', (performance.now() - queued) / 1000);
    const { reference, keyring, platforms, signal } = job;
    const { transport, registry, retries, window, log } = tools;
    const endpoints = await endpointsOf(registry, reference.host, log);
    const source = new Registry(transport, endpoints, reference.repository, {
      keyring,
      retries,
      window,
      log,
      received: meter.received,
    });
    using progress = new PullLog(log, job.name, source.served);
    const report = (event: Progress): void => {
      progress.note(event);
      job.report(event);
    };
    // From here on all goes by digest: a tag that is moved meanwhile changes nothing.
    const ask = () => source.manifest(reference.digest ?? reference.tag ?? 'latest', signal);
    const root = await timed(meter, 'resolve', ask);
    const { key: by, policy } = tools.policies.of(job.namespace);
    const { helper } = tools;
    const origin = `${nameOf(reference)} ${job.user}`;
    const verify: PullJob['verify'] = (documents) =>
      policy === undefined ? Promise.resolve() : verifyImage(policy, helper, { source, reference, documents, signal });
    const id = await pullImage(tools, { source, reference, root, platforms, signal, report, verify, by, origin });
    progress.done(id);
    return id;
  });
};
