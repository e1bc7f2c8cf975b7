import type { Handlers } from '../api/handlers.ts';
import type { Config } from './config/index.ts';
import type { Runtime } from './runtime.ts';

type AnyHandler = (...given: readonly unknown[]) => unknown;
type AnyHandlers = Readonly<Record<string, AnyHandler>>;

/**
 * The runtime of the moment. A reload puts another in its place, with another configuration and everything else the same; a
 * call keeps the one that it began with.
 */
export class LiveRuntime {
  readonly #handlersOf: (runtime: Runtime) => AnyHandlers;
  #runtime: Runtime;
  #current: AnyHandlers;

  /** `handlersOf` is asked again after each reload: what it gives keeps no state. */
  constructor(runtime: Runtime, handlersOf: (runtime: Runtime) => Handlers) {
    this.#handlersOf = (next) => handlersOf(next) as AnyHandlers;
    this.#runtime = runtime;
    this.#current = this.#handlersOf(runtime);
  }

  get runtime(): Runtime {
    return this.#runtime;
  }

  replace(config: Config): void {
    this.#runtime = { ...this.#runtime, config };
    this.#current = this.#handlersOf(this.#runtime);
  }

  /** Handlers that stay, each of which passes its calls to the one of the moment. */
  handlers(): Handlers {
    const passed = Object.keys(this.#current).map((name): [string, AnyHandler] => [
      name,
      (...given) => this.#current[name]?.(...given),
    ]);
    return Object.fromEntries(passed) as Handlers;
  }
}
