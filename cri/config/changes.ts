import { assemble, settingOf } from './assemble.ts';
import type { Config } from './index.ts';
import { toml } from './print.ts';
import { keys } from './schema.ts';

/** A key that another value was read for than the one that holds. Values as TOML has them. */
export interface Change {
  readonly key: string;
  readonly old: string;
  readonly now: string;
  /** Until the next start the old one holds. */
  readonly needsRestart: boolean;
}

export const changesOf = (held: Config, read: Config): readonly Change[] =>
  keys.flatMap(({ name: key, reload }) => {
    const [old, now] = [toml(settingOf(held, key)), toml(settingOf(read, key))];
    return old === now ? [] : [{ key, old, now, needsRestart: !reload }];
  });

/** What `read` has of the keys that a running daemon takes, and what holds of the others. */
export const reloaded = (held: Config, read: Config): Config =>
  assemble(new Map(keys.map(({ name, reload }) => [name, settingOf(reload ? read : held, name)])));

export const inWords = ({ key, old, now, needsRestart }: Change): string =>
  needsRestart
    ? `configuration: ${key}: ${old} → ${now} needs a restart of berthd; until then ${old} holds`
    : `configuration: ${key}: ${old} → ${now}`;
