import type { Wanted } from './command.ts';

/** What crictl was recorded doing, and is replayed. `CONTAINER` reads lines and answers each; `POD` echoes on port 81. */
export interface RecordedSession {
  readonly name: string;
  readonly kind: 'exec' | 'attach' | 'portforward';
  readonly cmd: readonly string[];
  readonly wanted: Wanted;
  /** A shell script; `$crictl`, `$container`, `$pod`, `$transport`. */
  readonly script: string;
}

/** A line of the container's program. */
export const answering = 'while read x; do echo "got $x"; done';
export const echoPort = 81;

const sh = (script: string): readonly string[] => ['sh', '-c', script];
const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(' ');

const exec = (
  name: string,
  cmd: readonly string[],
  wanted: Wanted,
  script: (command: string) => string,
): RecordedSession => ({
  name,
  kind: 'exec',
  cmd,
  wanted,
  script: script(`$container ${quoted(cmd)}`),
});

const tty = sh('stty -echo; read x; echo "read $x"; stty size; exit 5');

export const sessions: readonly RecordedSession[] = [
  exec(
    'exec',
    sh('echo out; echo err >&2; exit 3'),
    { stdout: true, stderr: true },
    (command) => `$crictl exec --transport $transport ${command}`,
  ),
  exec(
    'exec-stdin',
    sh('cat; echo end'),
    { stdin: true, stdout: true, stderr: true },
    (command) => `echo hello | $crictl exec -i --transport $transport ${command}`,
  ),
  exec(
    'exec-missing',
    ['nosuch'],
    { stdout: true, stderr: true },
    (command) => `$crictl exec --transport $transport ${command}`,
  ),
  exec(
    'exec-tty',
    tty,
    { stdin: true, stdout: true, tty: true },
    (command) =>
      `cat >exec-tty.sh <<EOF\nstty rows 33 cols 101\n$crictl exec -it --transport $transport ${command.replaceAll('$x', '\\$x')}\nEOF\n(sleep 0.6; printf 'typed\\r'; sleep 0.4) | script -qec 'sh exec-tty.sh' /dev/null`,
  ),
  {
    name: 'attach',
    kind: 'attach',
    cmd: [],
    wanted: { stdin: true, stdout: true, stderr: true },
    script:
      '(sleep 0.4; echo one; sleep 0.2; echo two; sleep 0.4) | timeout -s KILL 2 $crictl attach -i --transport $transport $container',
  },
  {
    name: 'port-forward',
    kind: 'portforward',
    cmd: [],
    wanted: {},
    script: `timeout 2 $crictl port-forward --transport $transport $pod 18080:${echoPort} & sleep 0.6; echo hello | busybox nc 127.0.0.1 18080; echo again | busybox nc 127.0.0.1 18080; wait`,
  },
];

export const transports = ['spdy', 'websocket'] as const;

export interface Event {
  /** Since the connection was made. */
  readonly ms: number;
  readonly from: 'client' | 'server';
  /** Base64; missing at the end of the direction. */
  readonly data?: string;
}
