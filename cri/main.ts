import { pino } from 'pino';
import { messageOf } from '../base/errors.ts';
import { runArguments } from './config/command.ts';
import type { Config } from './config/index.ts';
import { Daemon } from './daemon.ts';
import { complain, logDestination } from './journal.ts';

/** `berthd`: reads its arguments and configuration, then serves until SIGTERM or SIGINT. Containers run on without it. */
const main = async (): Promise<number> => {
  const outcome = await runArguments(process.argv.slice(2));
  if (outcome.kind === 'done') return outcome.status;
  return serveUntilSignal(outcome.loaded.config);
};

const serveUntilSignal = async (config: Config): Promise<number> => {
  process.title = 'berthd';
  const log = pino({ level: config.log_level, base: null }, logDestination());
  const stop = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.resolve(signal));
  process.on('unhandledRejection', (error) => log.error({ error: messageOf(error) }, 'a failure was not handled'));
  await using _daemon = await Daemon.start(config, log);
  const signal = await stop.promise;
  log.info({ signal }, 'berthd stops; containers run on');
  return 0;
};

process.exitCode = await main().catch((error: unknown) => {
  complain(`berthd: ${messageOf(error)}\n`);
  return 1;
});
