import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dir } from 'tmp-promise';
import { Agent, type AgentOptions, type RunResult } from '../../shim/agent.ts';
import { shimProgram } from '../../shim/program.ts';

/** A spawn agent in a network and a mount namespace of its own, with a directory; all of it goes with `using`. */
export class Isolated implements AsyncDisposable {
  readonly agent: Agent;
  readonly directory: string;
  /** What the agent logged. */
  readonly logged: readonly string[];
  readonly #cleanup: () => Promise<void>;

  private constructor(agent: Agent, directory: string, logged: readonly string[], cleanup: () => Promise<void>) {
    this.agent = agent;
    this.directory = directory;
    this.logged = logged;
    this.#cleanup = cleanup;
  }

  static async start(options: Partial<AgentOptions> & { readonly pidNamespace?: boolean } = {}): Promise<Isolated> {
    const { path, cleanup } = await dir({ unsafeCleanup: true, prefix: 'berth-shim-' });
    const program = join(path, 'agent');
    // With a pid namespace, /proc shows what this test started and nothing else.
    const pids = options.pidNamespace ? '-p --fork --kill-child --mount-proc' : '';
    const script = `#!/bin/sh\nexec unshare -nm --propagation private ${pids} ${options.program ?? (await shimProgram())} "$@"\n`;
    await writeFile(program, script, { mode: 0o755 });
    const logged: string[] = [];
    const note = (fields: object, message: string): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
    try {
      const agent = await Agent.start({ log: { warn: note, error: note }, ...options, program });
      return new Isolated(agent, path, logged, cleanup);
    } catch (error) {
      await cleanup();
      throw error;
    }
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** A shell script in the agent's namespaces. */
  sh(script: string, more: object = {}): Promise<RunResult> {
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
    return this.agent.run({ name: 'shell', argv: ['/bin/sh', '-c', script], env, ...more });
  }

  /** What the script prints, without the last line's end. */
  async text(script: string, more: object = {}): Promise<string> {
    const { stdout, stderr, code } = await this.sh(script, more);
    if (code !== 0) throw new Error(`${script}: ${code} ${stderr.toString('utf8')}`);
    return stdout.toString('utf8').trimEnd();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.#cleanup();
  }
}
