import test from 'ava';
import type { Handlers } from '../api/handlers.ts';
import type { Config } from './config/index.ts';
import { parseConfig } from './config/load.ts';
import { LiveRuntime } from './live.ts';
import type { Runtime } from './runtime.ts';

const configOf = (level: string): Config => parseConfig(`log_level = "${level}"`, 'c');

test('a call that is under way keeps its configuration, and the next one has the new one', async (t) => {
  const gate = Promise.withResolvers<void>();
  const handlersOf = (runtime: Runtime): Handlers => ({
    Version: async () => {
      await gate.promise;
      return { runtime_version: runtime.config.log_level };
    },
  });
  const other = Symbol('the rest of the runtime');
  const live = new LiveRuntime({ config: configOf('info'), agent: other } as unknown as Runtime, handlersOf);
  const { Version } = live.handlers() as { Version: () => Promise<{ runtime_version: string }> };
  const before = Version();
  live.replace(configOf('warn'));
  const after = Version();
  gate.resolve();
  t.deepEqual(
    (await Promise.all([before, after])).map(({ runtime_version }) => runtime_version),
    ['info', 'warn'],
  );
  t.is(live.runtime.agent as unknown, other);
});
