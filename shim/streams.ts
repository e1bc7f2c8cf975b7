import type { Readable, Writable } from 'node:stream';

/** Which streams a client wants of a process; `tty`: the process has a terminal, whose output is all stdout. */
export interface WantedStreams {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Abort ends the opening, and afterwards what `close` ends. */
  readonly signal?: AbortSignal;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** How a process ended: 128 + signal when a signal ended it; signal 0: none. */
export interface ProcessEnd {
  readonly code: number;
  readonly signal: number;
}

/** A running process seen through its streams: an exec, or the container's main process. */
export interface ProcessStreams {
  /** `end()` closes the process's stdin. */
  readonly stdin: Writable | undefined;
  /** With back-pressure to the pipe in the container; ends when the process and all that held its output have ended. */
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** The terminal has this size at once; without a terminal nothing happens. */
  resize(size: TerminalSize): void;
  /** An attach's resolves when the container ends. Errors: `unavailable` when the supervisor is lost. */
  readonly ended: Promise<ProcessEnd>;
  /** The client has gone: an exec is killed with all that it started, an attach ends. */
  close(): void;
}

/** Starts an exec's plan (compileExec) in a running container. Errors: as execSync (exec.ts). */
export type OpenExec = (bundle: string, plan: Uint8Array, wanted: WantedStreams) => Promise<ProcessStreams>;

/** Joins the streams of the main process: output from now on. Errors: `unavailable`, `failed-precondition`. */
export type OpenAttach = (bundle: string, wanted: WantedStreams) => Promise<ProcessStreams>;
