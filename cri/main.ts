import { pino } from 'pino';
import { messageOf } from '../base/errors.ts';
import { type Run, runArguments } from './config/command.ts';
import { passedOverInWords } from './config/index.ts';
import { Daemon } from './daemon.ts';
import { complain, logDestination } from './journal.ts';

/** `berthd`: reads its arguments and configuration, then serves until SIGTERM or SIGINT. Containers run on without it. */
const main = async (): Promise<number> => {
  const outcome = await runArguments(process.argv.slice(2));
  if (outcome.kind === 'done') return outcome.status;
  return serveUntilSignal(outcome);
};

const serveUntilSignal = async ({ loaded: { config, passedOver }, again: read }: Run): Promise<number> => {
  process.title = 'berthd';
  const log = pino({ level: config.log_level, base: null }, logDestination());
  for (const file of passedOver) log.warn({ file }, `configuration: ${passedOverInWords(file)}`);
  const stop = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.resolve(signal));
  process.on('unhandledRejection', (error) => log.error({ error: messageOf(error) }, 'a failure was not handled'));
  // From now on, since its default is the end; one that comes during the start is heeded after it.
  const started = Promise.withResolvers<Daemon>();
  process.on('SIGHUP', () => void started.promise.then((daemon) => daemon.reload()));
  const setLevel = (level: string): void => {
    log.level = level;
  };
  await using daemon = await Daemon.start(config, { log, read, setLevel });
  started.resolve(daemon);
  const signal = await stop.promise;
  log.info({ signal }, 'berthd stops; containers run on');
  return 0;
};

process.exitCode = await main().catch((error: unknown) => {
  complain(`berthd: ${messageOf(error)}\n`);
  return 1;
});
