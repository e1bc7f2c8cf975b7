import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dir } from 'tmp-promise';
import { type TarEntry, tar } from './tar.ts';

/** Drives `berth-shim`'s layer roles as the daemon does: the tar goes through a unix socket. */
export const program = fileURLToPath(new URL('../../shim/native/berth-shim', import.meta.url));

export interface Ended {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export const run = (file: string, args: readonly string[], stdin?: Uint8Array): Promise<Ended> =>
  new Promise((resolve) => {
    const child = execFile(
      file,
      args,
      { encoding: 'buffer', maxBuffer: 2 ** 31 - 1, timeout: 300_000 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr: stderr.toString() });
      },
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(stdin);
  });

export interface Used {
  readonly cpuSeconds: number;
  readonly peakMegabytes: number;
}

/**
 * Runs a program and tells what it and its children used; perl's only work is getrusage(RUSAGE_CHILDREN). A program that takes more
 * than `cpuSeconds` of processor time is killed: it would hold a broken test up.
 */
export const runMeasured = async (
  file: string,
  args: readonly string[],
  stdin?: Uint8Array,
  cpuSeconds = 120,
): Promise<Ended & Used> => {
  const getrusage = process.arch === 'arm64' ? 165 : 98;
  const code = `system { $ARGV[0] } @ARGV; my $usage = "\\0" x 144; syscall(${getrusage}, -1, $usage); print STDERR "used ", join(" ", unpack("q5", $usage)), "\\n"; exit($? >> 8 || $? & 127)`;
  const limited = ['sh', '-c', `ulimit -t ${cpuSeconds}; exec "$0" "$@"`, file, ...args];
  const ended = await run('perl', ['-e', code, ...limited], stdin);
  const [, user = 0, userMicro = 0, system = 0, systemMicro = 0, peak = 0] =
    /^used (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(ended.stderr)?.map(Number) ?? [];
  return {
    ...ended,
    stderr: ended.stderr.replace(/^used .*\n/m, ''),
    cpuSeconds: user + system + (userMicro + systemMicro) / 1e6,
    peakMegabytes: peak / 1024,
  };
};

export interface Report {
  readonly entries: number;
  readonly bytes: number;
  readonly root?: readonly string[];
  readonly opaqueRoot: boolean;
  readonly parents: readonly string[];
  readonly hardlinks: readonly (readonly [string, string])[];
}

const arity: Readonly<Record<string, number>> = {
  entries: 1,
  bytes: 1,
  content: 1,
  root: 3,
  'opaque-root': 0,
  parent: 1,
  hardlink: 2,
};

export const parseReport = (raw: Buffer): Report => {
  const fields = raw.toString().split('\0');
  const report = {
    entries: -1,
    bytes: -1,
    opaqueRoot: false,
    parents: [] as string[],
    hardlinks: [] as [string, string][],
  };
  let root: string[] | undefined;
  for (let i = 0; fields[i] !== 'end'; ) {
    const kind = fields[i] ?? '';
    const count = arity[kind];
    if (count === undefined) throw new Error(`report: unknown record ${JSON.stringify(kind)}`);
    const values = fields.slice(i + 1, i + 1 + count);
    i += 1 + count;
    if (kind === 'entries') report.entries = Number(values[0]);
    if (kind === 'bytes') report.bytes = Number(values[0]);
    if (kind === 'root') root = values;
    if (kind === 'opaque-root') report.opaqueRoot = true;
    if (kind === 'parent') report.parents.push(values[0] ?? '');
    if (kind === 'hardlink') report.hardlinks.push([values[0] ?? '', values[1] ?? '']);
  }
  report.parents.sort();
  return root === undefined ? report : { ...report, root };
};

/** A temporary directory with layers; all of it goes with `close`. */
export class Layers {
  readonly path: string;
  readonly #remove: () => Promise<void>;
  #count = 0;

  private constructor(path: string, remove: () => Promise<void>) {
    this.path = path;
    this.#remove = remove;
  }

  /** On disk, or where memory is enough, in `/dev/shm`. */
  static async make(tmpdir?: '/dev/shm'): Promise<Layers> {
    const made = await dir({ unsafeCleanup: true, ...(tmpdir !== undefined && { tmpdir }) });
    return new Layers(made.path, made.cleanup);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('rm', ['-rf', this.path]); // Node's own takes minutes for deep trees
    await this.#remove().catch(() => undefined);
  }

  async #fresh(): Promise<string> {
    this.#count += 1;
    const path = join(this.path, `layer${this.#count}`);
    await mkdir(path, { mode: 0o700 });
    return path;
  }

  /** Sends `stream` to `berth-shim unpack`. */
  async unpackStream(stream: Buffer): Promise<Ended & Used & { readonly path: string; readonly tokens: string }> {
    const path = await this.#fresh();
    const address = join(this.path, `socket${this.#count}`);
    let tokens = '';
    const server = createServer((socket: Socket) => {
      socket.on('error', () => {});
      socket.once('data', (token) => {
        tokens += token.toString();
        socket.end(stream);
      });
    });
    await new Promise<void>((resolve) => server.listen(address, resolve));
    try {
      const args = ['unpack', '--to', path, '--from', address, '--token', 'c0ffee', '--no-sync'];
      return { ...(await runMeasured(program, args)), path, tokens };
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** A layer that must unpack. */
  async unpack(
    entries: readonly TarEntry[] | Buffer,
  ): Promise<{ readonly path: string; readonly report: Report; readonly raw: Buffer }> {
    const { code, stdout, stderr, path } = await this.unpackStream(Buffer.isBuffer(entries) ? entries : tar(entries));
    if (code !== 0) throw new Error(`unpack: ${code}: ${stderr}`);
    return { path, report: parseReport(stdout), raw: stdout };
  }

  async runFix(
    layer: { readonly path: string; readonly raw: Buffer },
    lowers: readonly string[],
    cpuSeconds?: number,
  ): Promise<Ended & Used & { readonly path: string }> {
    const path = await this.#fresh();
    const args = ['layer-fix', '--to', path, '--layer', layer.path, '--no-sync', '--lower', ...lowers];
    return { ...(await runMeasured(program, args, layer.raw, cpuSeconds)), path };
  }

  /** The fix-up of `layer` above `lowers`: its directory, undefined when none is needed. */
  async fix(
    layer: { readonly path: string; readonly raw: Buffer },
    lowers: readonly string[],
  ): Promise<string | undefined> {
    const { code, stdout, stderr, path } = await this.runFix(layer, lowers);
    if (code !== 0) throw new Error(`layer-fix: ${code}: ${stderr}`);
    return stdout.toString() === 'entries\x000\0end\0' ? undefined : path;
  }

  /** Unpacks each on its own, lowest first, with the fix-ups between them: directories, topmost first. */
  async chain(layers: readonly (readonly TarEntry[] | Buffer)[]): Promise<string[]> {
    let chain: string[] = [];
    for (const entries of layers) {
      const layer = await this.unpack(entries);
      if (layer.report.opaqueRoot) chain = [];
      const { parents, hardlinks } = layer.report;
      const needed = chain.length > 0 && parents.length + hardlinks.length > 0;
      const fixed = needed ? await this.fix(layer, chain) : undefined;
      chain.unshift(...(fixed === undefined ? [] : [fixed]), layer.path);
    }
    return chain;
  }

  /** What a shell script prints with the kernel's overlay of `lowers` at $M, in a mount namespace of its own. */
  async inMerged(lowers: readonly string[], script: string): Promise<string> {
    return (await this.bytesInMerged(lowers, script)).toString().trim();
  }

  async bytesInMerged(lowers: readonly string[], script: string): Promise<Buffer> {
    const mount = join(this.path, 'merged');
    await mkdir(mount, { recursive: true });
    const lower = [...lowers, await this.#fresh()].join(':');
    const setUp = `set -e; mount -t overlay overlay -o lowerdir=${lower},redirect_dir=nofollow,metacopy=off "$M"; cd "$M"`;
    const { code, stdout, stderr } = await run('unshare', [
      '-nm',
      '--propagation',
      'private',
      'env',
      `M=${mount}`,
      'sh',
      '-c',
      `${setUp}; ${script}`,
    ]);
    if (code !== 0) throw new Error(`merged: ${stderr}`);
    return stdout;
  }
}
