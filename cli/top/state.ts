import { type SortKey, type View, views } from './rows.ts';

/** What the person has chosen. `offset`: so many rows are above the screen's first. */
export interface State {
  readonly view: View;
  readonly sort: SortKey;
  readonly reverse: boolean;
  readonly offset: number;
}

/** Rows that there are, and rows that fit. */
export interface Extent {
  readonly count: number;
  readonly height: number;
}

const sorts: Readonly<Record<string, SortKey>> = {
  c: 'cpu',
  m: 'memory',
  n: 'network',
  i: 'io',
  p: 'pids',
  a: 'name',
};

const steps: Readonly<Record<string, (height: number) => number>> = {
  up: () => -1,
  k: () => -1,
  down: () => 1,
  j: () => 1,
  'page-up': (height) => -height,
  'page-down': (height) => height,
  ' ': (height) => height,
  home: () => Number.NEGATIVE_INFINITY,
  end: () => Number.POSITIVE_INFINITY,
};

/** The screen is never below the last row. */
export const within = (state: State, { count, height }: Extent): State => {
  const offset = Math.max(0, Math.min(state.offset, count - height));
  return offset === state.offset ? state : { ...state, offset };
};

/** What a key makes of it; the same state for a key that means nothing. */
export const pressed = (state: State, key: string, extent: Extent): State => {
  const sort = Object.hasOwn(sorts, key) ? sorts[key] : undefined;
  if (sort !== undefined) return { ...state, sort, offset: 0, reverse: state.sort === sort && !state.reverse };
  if (key === 'r') return { ...state, reverse: !state.reverse };
  if (key === 'tab' || key === 't')
    return { ...state, view: views[(views.indexOf(state.view) + 1) % views.length] ?? 'both', offset: 0 };
  const step = Object.hasOwn(steps, key) ? steps[key] : undefined;
  return step === undefined ? state : within({ ...state, offset: state.offset + step(extent.height) }, extent);
};
