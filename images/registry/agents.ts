import { type AgentOptions, Agent as HttpAgent, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Connection } from './hosts/endpoints.ts';
import type { HttpProxy } from './proxy.ts';
import { Trust } from './trust.ts';
import { addressOf, TunnelAgent } from './tunnel.ts';

/** Idle connections end after this; the agents of configurations that have changed then hold nothing. */
const idleMs = 30_000;
const mostAgents = 32;
/** No most of sockets: parallel_layers and parallel_pulls bound them, and who waited for one would be taken for stalled. */
const pool: AgentOptions = { keepAlive: true, maxFreeSockets: 8, timeout: idleMs, scheduling: 'lifo' };

/** What a request needs to take the right connection. */
export interface Way {
  readonly isSecure: boolean;
  readonly options: RequestOptions & { readonly secureContext?: unknown; readonly rejectUnauthorized?: boolean };
}

/** The connections that are kept. Those made with other certificates, or by another proxy, are never shared. */
export class Agents implements Disposable {
  readonly trust = new Trust();
  readonly #agents = new Map<string, HttpAgent>();
  #isClosed = false;

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The way to a URL's host; by HTTP through a proxy it is the proxy that is connected to. */
  async wayTo(url: URL, { tls, dialMs }: Connection, proxy: HttpProxy | undefined): Promise<Way> {
    if (url.protocol === 'http:') return proxy === undefined ? this.#plain() : this.#forwarded(proxy);
    const { context, id } = await this.trust.context(tls);
    const through = proxy && { proxy, secureContext: (await this.trust.context()).context, dialMs };
    const make = (): HttpAgent => (through === undefined ? new HttpsAgent(pool) : new TunnelAgent(pool, through));
    const agent = this.#agent(`${id} ${dialMs} ${proxy?.url.href ?? ''}`, make);
    const options = { agent, secureContext: context, ...(tls?.skipVerify === true && { rejectUnauthorized: false }) };
    return { isSecure: true, options };
  }

  #plain(): Way {
    return { isSecure: false, options: { agent: this.#agent('http', () => new HttpAgent(pool)) } };
  }

  async #forwarded(proxy: HttpProxy): Promise<Way> {
    if (proxy.url.protocol === 'http:')
      return {
        isSecure: false,
        options: { agent: this.#agent('http', () => new HttpAgent(pool)), ...addressOf(proxy) },
      };
    const { context, id } = await this.trust.context();
    const agent = this.#agent(id, () => new HttpsAgent(pool));
    return { isSecure: true, options: { agent, secureContext: context, ...addressOf(proxy) } as Way['options'] };
  }

  #agent(key: string, make: () => HttpAgent): HttpAgent {
    const known = this.#agents.get(key);
    const agent = known ?? make();
    // The one used last is the last in the map; the oldest is only forgotten, since a transfer may still use it.
    this.#agents.delete(key);
    this.#agents.set(key, agent);
    const [oldest] = this.#agents.keys();
    if (this.#agents.size > mostAgents && oldest !== undefined) this.#agents.delete(oldest);
    return agent;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }
}
