import { Histogram, Registry } from 'prom-client';

/** The metrics of this room; cri/observe/ serves them with those of the others. */
export const registry = new Registry();

/** Seconds, from a call's first byte to its answer. A probe's list takes less than the first, a large pull more than the last. */
export const durationBuckets = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
];

/** By RPC and the code it ended with: `ok` or an ErrorCode, the words of the log. */
export const callSeconds = new Histogram({
  name: 'berth_rpc_duration_seconds',
  help: 'Duration of each gRPC call, by method and the code it ended with; that of a stream is its life.',
  labelNames: ['method', 'code'],
  buckets: durationBuckets,
  registers: [registry],
});
