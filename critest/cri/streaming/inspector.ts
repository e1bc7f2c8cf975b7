import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import WebSocket from 'ws';
import type { TestDaemon } from '../../harness/daemon.ts';
import { until } from '../../harness/until.ts';
import type { Dial } from './spdy-client.ts';

/** What V8's inspector tells of a daemon that runs: SIGUSR1 opens it on the world's loopback. */
export class Inspector implements Disposable {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: Record<string, unknown>) => void>();
  #last = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      const { id, result } = JSON.parse(data.toString()) as { id: number; result: Record<string, unknown> };
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    });
  }

  static async open(daemon: TestDaemon, dial: Dial): Promise<Inspector> {
    await daemon.world.sh(`kill -USR1 ${daemon.pid}`);
    const url = new URL('http://127.0.0.1:9229/json/list');
    const list = await until('the inspector answers', () => page(url, dial));
    const [{ webSocketDebuggerUrl = '' } = {}] = JSON.parse(list) as { webSocketDebuggerUrl?: string }[];
    const socket = new WebSocket(webSocketDebuggerUrl, { createConnection: () => dial(url), perMessageDeflate: false });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return new Inspector(socket);
  }

  #ask(method: string, params: object = {}): Promise<Record<string, unknown>> {
    this.#last += 1;
    const { promise, resolve } = Promise.withResolvers<Record<string, unknown>>();
    this.#waiting.set(this.#last, resolve);
    this.#socket.send(JSON.stringify({ id: this.#last, method, params }));
    return promise;
  }

  /** Bytes of the heap that are reachable. */
  async heap(): Promise<number> {
    await this.#ask('HeapProfiler.collectGarbage');
    await this.#ask('HeapProfiler.collectGarbage');
    return Number((await this.#ask('Runtime.getHeapUsage')).usedSize);
  }

  /** The value of an expression in the daemon. */
  async evaluate(expression: string): Promise<unknown> {
    const { result } = await this.#ask('Runtime.evaluate', { expression, returnByValue: true });
    return (result as { value?: unknown }).value;
  }

  [Symbol.dispose](): void {
    this.#socket.terminate();
  }
}

const page = (url: URL, dial: Dial): Promise<string | undefined> =>
  new Promise((resolve) => {
    const request = get(url, { createConnection: () => dial(url) }, (response) =>
      text(response).then(resolve, () => resolve(undefined)),
    );
    request.on('error', () => resolve(undefined));
  });
