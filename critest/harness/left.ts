import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from './until.ts';

const entries = (path: string): Promise<readonly string[]> => readdir(path).catch(() => []);
const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

/** Every directory, cgroup, mount and process of the machine that is of the test process with this pid. */
const ofProcess = async (pid: number): Promise<readonly string[]> => {
  // tmp-promise puts it into the name of each temporary directory, and cgroups are called after those
  const own = new RegExp(`(?:bt|berth)[a-z-]*[-_]${pid}[-_]`);
  const named = async (directory: string): Promise<string[]> =>
    (await entries(directory)).filter((name) => own.test(name)).map((name) => join(directory, name));
  const hierarchies = (await entries('/sys/fs/cgroup')).map((name) => join('/sys/fs/cgroup', name));
  const mounts = (await text('/proc/self/mountinfo')).split('\n').filter((line) => own.test(line));
  const found = await Promise.all([...['/tmp', '/var/tmp', '/sys/fs/cgroup'], ...hierarchies].map(named));
  return [...found.flat(), ...mounts, ...(await processes(pid, own))];
};

const processes = async (pid: number, own: RegExp): Promise<string[]> => {
  const pids = (await entries('/proc')).filter((name) => /^\d+$/.test(name) && name !== `${pid}`);
  const found = await Promise.all(
    pids.map(async (name) => {
      const at = join('/proc', name);
      const [status, args] = await Promise.all([text(join(at, 'status')), text(join(at, 'cmdline'))]);
      const ours = /^Name:\tberth/.test(status) && new RegExp(`^PPid:\\t${pid}$`, 'm').test(status);
      const line = `process ${name}: ${args.replaceAll('\0', ' ')}`;
      return args !== '' && (ours || own.test(args) || own.test(await text(join(at, 'cgroup')))) ? [line] : [];
    }),
  );
  return found.flat();
};

/** What a test process has left on the machine. What is taken down in the background gets a moment. */
export const leftOnMachine = async (pid: number, seconds = 20): Promise<readonly string[]> => {
  let left: readonly string[] = [];
  const clean = async (): Promise<boolean> => {
    left = await ofProcess(pid);
    return left.length === 0;
  };
  await until('nothing is left', clean, seconds).catch(() => {});
  return left;
};
