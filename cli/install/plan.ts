import { join } from 'node:path';
import { type Installed, type Print, printOf, wantedPrint } from './files.ts';
import { type Entry, entriesOf, libraryOf, type Place } from './layout.ts';

/**
 * What becomes of a path. `kept`: ours once, changed since by the operator, whose it is now. `foreign`: there, and never
 * ours. `gone`: of an earlier version.
 */
export type Fate = 'new' | 'changed' | 'same' | 'kept' | 'foreign' | 'gone';

export interface Step {
  readonly path: string;
  readonly fate: Fate;
  readonly kind: Entry['kind'];
  readonly entry: Entry | undefined;
  /** What it is to be; for `gone` what it was. */
  readonly print: Print;
}

export const recordPath = (place: Pick<Place, 'prefix'>): string => join(libraryOf(place), 'installed.json');

/** What an installation would do, path by path; nothing is written. */
export const planInstall = async (place: Place, installed: Installed): Promise<readonly Step[]> => {
  const entries = await entriesOf(place);
  const steps: Step[] = [];
  for (const entry of entries) {
    const { path, kind } = entry;
    const [print, there] = await Promise.all([wantedPrint(entry), printOf(join(place.root, path))]);
    steps.push({ path, kind, entry, print, fate: fateOf({ print, there, before: installed.get(path), kind }) });
  }
  const wanted = new Set(entries.map(({ path }) => path));
  return [...steps, ...(await goneSteps(place, installed, wanted))];
};

interface Prints {
  readonly print: Print;
  readonly there: Print | undefined;
  readonly before: Print | undefined;
  readonly kind: Entry['kind'];
}

export const fateOf = ({ print, there, before, kind }: Prints): Fate => {
  if (there === undefined) return 'new';
  if (there === print) return 'same';
  if (before === undefined) return 'foreign';
  return there === before || kind === 'program' ? 'changed' : 'kept';
};

const goneSteps = async (place: Place, installed: Installed, wanted: ReadonlySet<string>): Promise<Step[]> => {
  const old = [...installed].filter(([path]) => !wanted.has(path));
  const steps = old.map(async ([path, print]): Promise<Step[]> => {
    const there = await printOf(join(place.root, path));
    const kind = path.startsWith(`${libraryOf(place)}/`) ? 'program' : 'setting';
    if (there === undefined) return [];
    return [{ path, kind, print, entry: undefined, fate: there === print || kind === 'program' ? 'gone' : 'kept' }];
  });
  return (await Promise.all(steps)).flat();
};

/** What is ours once the steps are done: a setting that was there alike before us stays nobody's. */
export const installedAfter = (steps: readonly Step[], before: Installed): Installed =>
  new Map(
    steps.flatMap(({ path, fate, print }): [string, Print][] => {
      if (fate === 'new' || fate === 'changed') return [[path, print]];
      const earlier = before.get(path);
      return (fate === 'same' || fate === 'kept') && earlier !== undefined
        ? [[path, fate === 'same' ? print : earlier]]
        : [];
    }),
  );

/** While the steps are done: what is new may be there already, what changes may still be as it was. */
export const installedDuring = (steps: readonly Step[], before: Installed): Installed =>
  new Map([
    ...steps.flatMap(({ path, fate, print }): [string, Print][] => (fate === 'new' ? [[path, print]] : [])),
    ...before,
  ]);

const marks: Readonly<Record<Fate, string>> = {
  new: '+',
  changed: '~',
  same: '=',
  kept: '!',
  foreign: 'x',
  gone: '-',
};

const remarks: Readonly<Partial<Record<Fate, string>>> = {
  kept: 'changed by hand: left as it is',
  foreign: 'not ours: refused',
};

/** A line a path; programs are folded into one line a fate, unless all are wanted. */
export const planText = (steps: readonly Step[], place: Place, verbose: boolean): string => {
  const folded = (step: Step): boolean =>
    !verbose && step.kind === 'program' && step.path.startsWith(`${libraryOf(place)}/`) && step.fate !== 'foreign';
  const counts = new Map<Fate, number>();
  for (const step of steps.filter(folded)) counts.set(step.fate, (counts.get(step.fate) ?? 0) + 1);
  const lines = [...counts].map(
    ([fate, count]) => `${marks[fate]} ${place.root}${libraryOf(place)}/  (${count} files)`,
  );
  const single = steps.filter((step) => !folded(step)).map((step) => stepLine(step, place));
  return [...lines, ...single].map((line) => `${line}\n`).join('');
};

const stepLine = ({ path, fate, entry }: Step, { root }: Place): string => {
  const leads = entry?.type === 'link' ? ` -> ${entry.target}` : '';
  const remark = remarks[fate] === undefined ? '' : `  (${remarks[fate]})`;
  return `${marks[fate]} ${root}${path}${leads}${remark}`;
};
