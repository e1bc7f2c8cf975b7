import type { Registry } from 'prom-client';
import type { ApiServer } from '../../api/server.ts';
import type { Runtime } from '../runtime.ts';
import { metricsOfDaemon } from './all.ts';
import { type Check, inWords, readiness } from './checks.ts';
import { isRemote } from './endpoint.ts';
import { EventLoopDelay } from './event-loop.ts';
import { ObserveServer, type Page, type Pages, text } from './http.ts';
import { Persistent } from './persistent.ts';

/** Serves /metrics, /healthz and /readyz where the configuration says. */
export const openObserve = async (
  runtime: Runtime,
  server: Pick<ApiServer, 'running'>,
  notServing: () => string | undefined,
): Promise<AsyncDisposable> => {
  const { config, log, metrics } = runtime;
  const { address } = config.metrics;
  await using stack = new AsyncDisposableStack();
  if (address !== '') {
    const delay = stack.use(new EventLoopDelay());
    if (isRemote(address)) log.warn({ address }, 'metrics: whoever reaches this address may read them');
    const all = metricsOfDaemon(metrics, { runtime, server, notServing, delay });
    const pages = pagesOf(all, runtime, notServing);
    stack.use(await Persistent.start(() => ObserveServer.open(address, pages, log), log));
  }
  return stack.move();
};

const pagesOf = (registry: Registry, runtime: Runtime, notServing: () => string | undefined): Pages => ({
  '/metrics': shared(async () => ({ status: 200, type: registry.contentType, body: await registry.metrics() })),
  '/healthz': async (isVerbose) => verdict('healthz', [await liveness(runtime)], isVerbose),
  '/readyz': async (isVerbose) => verdict('readyz', await readiness({ ...runtime, notServing }), isVerbose),
});

/** The event loop turns, else nobody would answer here; what can still be wrong is the way to a call. */
const liveness = async ({ selfCheck }: Runtime): Promise<Check> => ({
  name: 'self',
  problem: await selfCheck.problem(),
});

const verdict = (what: string, checks: readonly Check[], isVerbose: boolean): Page => {
  const isWell = checks.every(({ problem }) => problem === undefined);
  if (isWell && !isVerbose) return text(200, 'ok');
  return text(isWell ? 200 : 503, inWords(what, checks));
};

/** Who asks while a page is made gets the same one. */
const shared = (make: () => Promise<Page>): (() => Promise<Page>) => {
  let current: Promise<Page> | undefined;
  return () => {
    current ??= make().finally(() => {
      current = undefined;
    });
    return current;
  };
};
