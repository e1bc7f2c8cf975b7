import { UsageError } from '../context.ts';
import { type ShownEvent, shownTypes } from './shown.ts';

/** True for an event that is asked for. */
export type Filter = (event: ShownEvent) => boolean;

const startsId = (id: string, word: string): boolean => /^[0-9a-f]{3,64}$/.test(word) && id.startsWith(word);

const matchers: Readonly<Record<string, (event: ShownEvent, word: string) => boolean>> = {
  pod: ({ pod }, word) => pod.name === word || `${pod.namespace}/${pod.name}` === word || startsId(pod.id, word),
  container: ({ pod, kind, id, container }, word) =>
    kind === 'container' &&
    (container?.name === word || `${pod.name}/${container?.name}` === word || startsId(id, word)),
  namespace: ({ pod }, word) => pod.namespace === word,
  type: ({ type }, word) => type === word,
  kind: ({ kind }, word) => kind === word,
};

const values: Readonly<Record<string, readonly string[]>> = { type: shownTypes, kind: ['pod', 'container'] };

/** `pod=web`, `type=stopped` …: one of those with the same key has to fit, and that for each key. */
export const filterOf = (words: readonly string[]): Filter => {
  const wanted = words.map((word) => {
    const [, key = '', value = ''] = /^([a-z]+)=(.+)$/.exec(word) ?? [];
    const matches = Object.hasOwn(matchers, key) ? matchers[key] : undefined;
    if (matches === undefined)
      throw new UsageError(
        `--filter: wants ${Object.keys(matchers).join('=, ')}= with a value, not ${JSON.stringify(word)}`,
      );
    const known = values[key];
    if (known !== undefined && !known.includes(value))
      throw new UsageError(`--filter: ${key}= is one of ${known.join(', ')}, not ${JSON.stringify(value)}`);
    return { key, fits: (event: ShownEvent) => matches(event, value) };
  });
  const groups = Map.groupBy(wanted, ({ key }) => key);
  return (event) => groups.values().every((group) => group.some(({ fits }) => fits(event)));
};
