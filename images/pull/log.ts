import type { Digest } from '../../base/digest.ts';
import type { Log, Progress } from '../types.ts';

const everyMs = 10_000;

/** The story of one pull in the log: its beginning, a line now and then, its end with bytes, seconds and hosts. */
export class PullLog implements Disposable {
  readonly #log: Log;
  readonly #image: string;
  readonly #served: ReadonlyMap<string, number>;
  readonly #layers = new Map<Digest, Progress>();
  readonly #begun = performance.now();
  readonly #timer: NodeJS.Timeout;
  #id: Digest | undefined;

  constructor(log: Log, image: string, served: ReadonlyMap<string, number>) {
    this.#log = log;
    this.#image = image;
    this.#served = served;
    log.info({ image }, 'pull begins');
    this.#timer = setInterval(() => this.#tell('pull goes on', this.#state()), everyMs).unref();
  }

  note(event: Progress): void {
    this.#layers.set(event.digest, event);
  }

  done(id: Digest): void {
    this.#id = id;
  }

  #state(): object {
    const layers = [...this.#layers.values()];
    const sum = (of: (event: Progress) => number): number => layers.reduce((all, event) => all + of(event), 0);
    return { offset: sum(({ offset }) => offset), total: sum(({ total }) => total) };
  }

  #tell(message: string, more: object): void {
    const hosts = Object.fromEntries(this.#served);
    const bytes = [...this.#served.values()].reduce((all, one) => all + one, 0);
    const seconds = Math.round(performance.now() - this.#begun) / 1000;
    this.#log.info({ image: this.#image, bytes, seconds, hosts, ...more }, message);
  }

  /** Why a pull failed is in the line of its call. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#id === undefined) this.#tell('pull ends without the image', this.#state());
    else this.#tell('image is pulled', { id: this.#id });
  }
}
