import { Registry } from 'prom-client';
import { registry as apiRegistry } from '../../api/metrics.ts';
import { addGauges, type Observed } from './gauges.ts';
import type { Metrics } from './metrics.ts';
import { addProcessMetrics } from './process.ts';

/** Everything that /metrics tells. What is looked up is looked up in `observed` at each scrape. */
export const metricsOfDaemon = ({ registry }: Metrics, observed: Observed): Registry => {
  addGauges(registry, observed);
  addProcessMetrics(registry);
  return Registry.merge([registry, apiRegistry]);
};
