import { Counter, Histogram, Registry } from 'prom-client';
import { durationBuckets } from '../../api/metrics.ts';
import { codeOf } from '../../base/errors.ts';
import type { PullMeter } from '../../images/index.ts';
import type { OnPluginCall } from '../network/types.ts';

/** A pull's stages last from nothing to many minutes. */
const stageBuckets = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

const codeLabel = (error: unknown): string => (error === undefined ? 'ok' : codeOf(error));

/** What is counted where it happens. What can be looked up is asked when somebody scrapes (gauges.ts). */
export class Metrics {
  readonly registry = new Registry();
  readonly oomKills = this.#counter(
    'berth_oom_kills_total',
    'Containers in which the kernel killed a process for memory, counted at their end.',
  );
  readonly supervisorDeaths = this.#counter(
    'berth_supervisor_deaths_total',
    'Supervisors that died before their container, which is killed then.',
  );
  /** By `result`: ok, error. */
  readonly reloads = new Counter({
    name: 'berth_config_reloads_total',
    help: 'How often the configuration was read anew, by result; after an error the one before holds.',
    labelNames: ['result'],
    registers: [this.registry],
  });
  readonly #pulledBytes = this.#counter(
    'berth_pulled_bytes_total',
    'Bytes of blobs that came from registries, those that were thrown away included.',
  );
  readonly #cniSeconds = new Histogram({
    name: 'berth_cni_duration_seconds',
    help: 'Duration of each call of a CNI plugin, by command, plugin and the code it ended with.',
    labelNames: ['command', 'plugin', 'code'],
    buckets: durationBuckets,
    registers: [this.registry],
  });
  readonly #stageSeconds = new Histogram({
    name: 'berth_pull_stage_duration_seconds',
    help: 'Duration of each stage of pulls and loads; "layer" is one layer fetched and unpacked, "layers" all of an image.',
    labelNames: ['stage', 'code'],
    buckets: stageBuckets,
    registers: [this.registry],
  });

  readonly onPluginCall: OnPluginCall = ({ command, plugin, seconds, error }) =>
    this.#cniSeconds.observe({ command, plugin, code: codeLabel(error) }, seconds);

  readonly pullMeter: PullMeter = {
    stage: (stage, seconds, error) => this.#stageSeconds.observe({ stage, code: codeLabel(error) }, seconds),
    received: (bytes) => this.#pulledBytes.inc(bytes),
  };

  constructor() {
    // an alert needs them before the first one
    for (const result of ['ok', 'error']) this.reloads.inc({ result }, 0);
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [this.registry] });
  }
}
