import { Histogram, Registry } from 'prom-client';

/** All metrics of the daemon; other rooms register theirs here through cri/. */
export const registry = new Registry();

/** Seconds of each call from its first byte to its answer, by RPC and the code it ended with (`ok` or an ErrorCode). */
export const callSeconds = new Histogram({
  name: 'berth_call_duration_seconds',
  help: 'Duration of each gRPC call.',
  labelNames: ['rpc', 'code'],
  buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
  registers: [registry],
});
