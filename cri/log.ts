import type { Logger } from 'pino';

/** What the rooms log to: pino's own methods, fields first. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
