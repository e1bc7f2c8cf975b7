import type { Registry } from 'prom-client';
import type { ApiServer } from '../../api/server.ts';
import type { Runtime } from '../runtime.ts';
import { type Check, readiness } from './checks.ts';
import { addRead, one, type Read, type Sample } from './collected.ts';
import type { EventLoopDelay } from './event-loop.ts';

export interface Observed {
  readonly runtime: Pick<
    Runtime,
    'sandboxes' | 'containers' | 'images' | 'agent' | 'stuck' | 'events' | 'config' | 'network'
  >;
  readonly server: Pick<ApiServer, 'running'>;
  readonly notServing: () => string | undefined;
  readonly delay: Pick<EventLoopDelay, 'read'>;
}

const podStates = ['creating', 'ready', 'stopping', 'stopped'] as const;
const containerStates = ['created', 'running', 'exited'] as const;

/** Counts of each state, none left out: a series that is missing says nothing, one that is 0 does. */
const byState = (states: readonly string[], found: readonly string[]): Sample[] => {
  const counts = new Map(states.map((state) => [state, 0]));
  for (const state of found) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => [[state], count]);
};

const callsOf = ({ server }: Observed, read: (started: readonly number[]) => number): Sample[] => {
  const calls = Map.groupBy(server.running(), ({ method }) => method.name);
  return [...calls].map(([rpc, running]) => [[rpc], read(running.map(({ started }) => started))]);
};

const oldest = (started: readonly number[]): number => (performance.now() - Math.min(...started)) / 1000;

type Definition = Omit<Read, 'read'> & {
  readonly read: (observed: Observed) => ReturnType<Read['read']>;
};

/** What is looked up when somebody asks, in memory; nothing is kept of it between two scrapes. */
const definitions: readonly Definition[] = [
  {
    name: 'berth_pods',
    help: 'Pod sandboxes by state.',
    labels: ['state'],
    read: ({ runtime }) =>
      byState(
        podStates,
        runtime.sandboxes.values().map(({ record }) => record.state),
      ),
  },
  {
    name: 'berth_containers',
    help: 'Containers by state.',
    labels: ['state'],
    read: ({ runtime }) =>
      byState(
        containerStates,
        runtime.containers.values().map(({ record }) => record.state.kind),
      ),
  },
  {
    name: 'berth_images',
    help: 'Images by state: used by a container or not, and "unnamed" for those that only a container keeps.',
    labels: ['state'],
    read: ({ runtime }) => Object.entries(runtime.images.counts()).map(([state, count]) => [[state], count]),
  },
  {
    name: 'berth_rpc_in_flight',
    help: 'gRPC calls that have not ended, by method.',
    labels: ['method'],
    read: (observed) => callsOf(observed, (started) => started.length),
  },
  {
    name: 'berth_rpc_oldest_seconds',
    help: 'Age of the oldest gRPC call that has not ended, by method.',
    labels: ['method'],
    read: (observed) => callsOf(observed, oldest),
  },
  {
    name: 'berth_stuck_work',
    help: 'Steps that take longer than metrics.stuck_seconds, or a multiple of it for what takes long by nature, by stage.',
    labels: ['stage'],
    read: ({ runtime }) => [...runtime.stuck.counts()].map(([stage, count]) => [[stage], count]),
  },
  {
    name: 'berth_ready',
    help: 'Whether each check of /readyz passes.',
    labels: ['check'],
    read: async ({ runtime, notServing }) => (await readiness({ ...runtime, notServing })).map(sampleOf),
  },
  {
    name: 'berth_agent_restarts_total',
    help: 'How often the spawn agent was started again after it had died.',
    labels: [],
    read: ({ runtime }) => one(runtime.agent.restarts),
  },
  {
    name: 'berth_event_subscribers',
    help: 'Clients that listen to GetContainerEvents.',
    labels: [],
    read: ({ runtime }) => one(runtime.events.listeners),
  },
  {
    name: 'berth_event_loop_delay_seconds',
    help: 'How late the daemon came to its timers over the last minute or two, by percentile; measured from the first scrape on.',
    labels: ['percentile'],
    read: ({ delay }) => delay.read().map(([percentile, seconds]) => [[`${percentile}`], seconds]),
  },
  {
    name: 'berth_event_loop_busy_seconds_total',
    help: 'How long the daemon was busy; the rest of the time it waited for events.',
    labels: [],
    read: () => one(performance.eventLoopUtilization().active / 1000),
  },
];

const sampleOf = ({ name, problem }: Check): Sample => [[name], problem === undefined ? 1 : 0];

export const addGauges = (registry: Registry, observed: Observed): void => {
  for (const { read, ...definition } of definitions) addRead(registry, { ...definition, read: () => read(observed) });
};
