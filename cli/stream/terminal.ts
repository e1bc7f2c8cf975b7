import type { Readable, Writable } from 'node:stream';

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** What a session's bytes come from and go to. */
export interface Terminal {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Whether stdin is a terminal. */
  readonly isTerminal: boolean;
  /** Undefined: stdout is no terminal. */
  size(): Size | undefined;
  /** Calls back at each new size, until the answer is called. */
  onResize(resized: () => void): () => void;
  /** Keys come as they are typed, the kernel neither echoes nor signals; false where stdin is no terminal. */
  setRaw(raw: boolean): boolean;
}

/** This process's own. */
export const ownTerminal = (): Terminal => {
  const { stdin, stdout, stderr } = process;
  return {
    stdin,
    stdout,
    stderr,
    isTerminal: Boolean(stdin.isTTY),
    size: () => (stdout.isTTY ? { columns: stdout.columns, rows: stdout.rows } : undefined),
    onResize: (resized) => {
      stdout.on('resize', resized);
      return () => stdout.off('resize', resized);
    },
    setRaw: (raw) => {
      if (stdin.isTTY) stdin.setRawMode(raw);
      return stdin.isTTY;
    },
  };
};
