import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { dir } from 'tmp-promise';
import { buildTree, sourceTree } from './tree.ts';

/** An installation of its own: what another release would be. */
export interface Release extends AsyncDisposable {
  /** For `TestDaemon.tree`. */
  readonly tree: string;
  /** Its helper. */
  readonly helper: string;
}

const programs = ['berth-decompress', 'berth-seccomp'];

/** Protocols that other releases speak: the oldest and their own. */
const protocols = { next: [1, 2], far: [5, 5] } as const;

/**
 * A copy of what was built. `next`: daemon and helper speak the next version of the protocol, as a later release would; `far`: none
 * that is known here. The helper is compiled so, in the daemon only the numbers differ.
 */
export const installRelease = async (kind: keyof typeof protocols): Promise<Release> => {
  const { path, cleanup } = await dir({ prefix: 'bt-release-', unsafeCleanup: true });
  const native = join(path, 'build/shim/native');
  await mkdir(native, { recursive: true });
  await mkdir(join(path, 'build/bin'));
  await copyFile(join(sourceTree, 'package.json'), join(path, 'package.json'));
  const helper = join(native, 'berth-shim');
  const spoken = protocols[kind];
  await copyFile(join(buildTree, 'shim/native', await helperFor(spoken[1])), helper);
  for (const program of programs) await copyFile(join(buildTree, 'shim/native', program), join(native, program));
  const text = await readFile(join(buildTree, 'bin/berthd.js'), 'utf8');
  await writeFile(join(path, 'build/bin/berthd.js'), speaking(text, spoken));
  return {
    tree: join(path, 'build'),
    helper,
    [Symbol.asyncDispose]: async () => {
      await rm(path, { recursive: true, force: true });
      await cleanup().catch(() => undefined);
    },
  };
};

const helperFor = async (protocol: number): Promise<string> => {
  const options = ['scripts/native.mjs', '--protocol', `${protocol}`];
  await promisify(execFile)(process.execPath, options, { cwd: sourceTree });
  return `berth-shim-${protocol}`;
};

const speaking = (text: string, [oldest, own]: readonly [number, number]): string => {
  const numbers = { oldestProtocol: oldest, protocolVersion: own };
  return Object.entries(numbers).reduce((all, [name, number]) => {
    if (!all.includes(`var ${name} = 1;`)) throw new Error(`berthd.js has no ${name}, or it is no longer 1`);
    return all.replace(`var ${name} = 1;`, `var ${name} = ${number};`);
  }, text);
};

/** The version that the supervisor of a bundle greets with: the one number of its first frame. */
export const greetingOf = async (bundle: string): Promise<number> => {
  // its path is too long for a socket address
  await using directory = await open(bundle);
  const socket = connect(`/proc/self/fd/${directory.fd}/shim.sock`);
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return Number(bytes.readBigUInt64LE(frameHead + fieldHead));
};

const frameHead = 12;
const fieldHead = 4;
