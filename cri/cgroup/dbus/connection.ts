import { connect, type Socket } from 'node:net';
import { BerthError, errnoOf, messageOf } from '../../../base/errors.ts';
import type { Value } from './marshal.ts';
import { type Call, encodeCall, type Message, MessageParser, MessageType } from './message.ts';

/** What the other side answered instead of a result; `name` such as "org.freedesktop.systemd1.UnitExists". */
export class BusError extends BerthError {
  readonly busName: string;

  constructor(name: string, message: string) {
    super('failed-precondition', message);
    this.busName = name;
  }
}

interface Waiting extends PromiseWithResolvers<readonly Value[]> {
  readonly member: string;
}

type SignalListener = (message: Message) => void;

/**
 * A connection to another process, without a bus between them. Calls end with their reply, in time, or with the connection.
 * Errors: `unavailable` when it is lost or nobody listens, `deadline-exceeded`, BusError.
 */
export class BusConnection {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #parser = new MessageParser();
  readonly #waiting = new Map<number, Waiting>();
  readonly #open = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<never>();
  readonly #onSignal: SignalListener;
  #greeting: string | undefined = '';
  #serial = 0;
  #lost: BerthError | undefined;

  private constructor(path: string, onSignal: SignalListener) {
    this.#path = path;
    this.#onSignal = onSignal;
    for (const { promise } of [this.#open, this.#ended]) promise.catch(() => undefined);
    this.#socket = connect(path);
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#lose(errnoOf(error) ?? messageOf(error)));
    this.#socket.on('close', () => this.#lose('the connection was closed'));
    // D-Bus Specification, "Authentication Protocol": the other side asks the kernel who we are. With BEGIN at once, as systemd's own
    // clients do: systemd leaves a message that comes together with a later BEGIN unread until something else comes.
    const uid = Buffer.from(String(process.getuid?.() ?? 0)).toString('hex');
    this.#socket.write(`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`);
  }

  static async open(
    path: string,
    timeoutMs: number,
    onSignal: SignalListener = () => undefined,
  ): Promise<BusConnection> {
    const connection = new BusConnection(path, onSignal);
    const timer = setTimeout(() => connection.#lose('no answer to the greeting'), timeoutMs);
    try {
      await connection.#open.promise;
      return connection;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Rejects when the connection is lost, never resolves. */
  get ended(): Promise<never> {
    return this.#ended.promise;
  }

  async call(call: Call, timeoutMs: number): Promise<readonly Value[]> {
    if (this.#lost !== undefined) throw this.#lost;
    this.#serial += 1;
    const serial = this.#serial;
    const bytes = encodeCall(serial, call);
    const waiting = { ...Promise.withResolvers<readonly Value[]>(), member: call.member };
    const late = (): void =>
      waiting.reject(new BerthError('deadline-exceeded', `${call.member}: no answer in ${timeoutMs / 1000} s`));
    const timer = setTimeout(late, timeoutMs);
    this.#socket.write(bytes);
    this.#waiting.set(serial, waiting);
    try {
      return await waiting.promise;
    } finally {
      this.#waiting.delete(serial);
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#lose('it was closed here');
  }

  #receive(chunk: Buffer): void {
    try {
      const rest = this.#greeting === undefined ? chunk : this.#greet(chunk);
      for (const message of this.#parser.push(rest)) this.#take(message);
    } catch (error) {
      this.#lose(messageOf(error));
    }
  }

  /** "OK guid", then messages. */
  #greet(chunk: Buffer): Buffer {
    const text = `${this.#greeting}${chunk.toString('latin1')}`;
    const end = text.indexOf('\r\n');
    if (end < 0 && text.length < 1024) this.#greeting = text;
    else if (!text.startsWith('OK '))
      throw new BerthError('permission-denied', `it answers ${text.slice(0, 80).trim()}`);
    else {
      this.#greeting = undefined;
      this.#open.resolve();
      return chunk.subarray(chunk.length - (text.length - end - 2));
    }
    return Buffer.alloc(0);
  }

  #take(message: Message): void {
    if (message.type === MessageType.signal) this.#onSignal(message);
    const waiting = this.#waiting.get(message.replyTo);
    if (waiting === undefined) return;
    try {
      const body = message.body();
      if (message.type === MessageType.reply) waiting.resolve(body);
      else waiting.reject(new BusError(message.error, `${waiting.member}: ${String(body[0] ?? message.error)}`));
    } catch (error) {
      waiting.reject(error);
    }
  }

  #lose(cause: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = new BerthError('unavailable', `${this.#path}: ${cause}`);
    this.#socket.destroy();
    for (const { reject } of [this.#open, this.#ended]) reject(this.#lost);
    for (const { reject } of [...this.#waiting.values()]) reject(this.#lost);
  }
}
