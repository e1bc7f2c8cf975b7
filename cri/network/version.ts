/** The newest CNI specification that Berth speaks. */
export const newestVersion = '1.1.0';

type Parts = readonly [number, number, number];

export const parseVersion = (text: string): Parts | undefined => {
  const match = /^(\d{1,4})\.(\d{1,4})\.(\d{1,4})$/.exec(text);
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3])];
};

/** Below, equal or above 0, as for sort. What is no version sorts first. */
export const compareVersions = (a: string, b: string): number => {
  const left = parseVersion(a) ?? [-1, 0, 0];
  const right = parseVersion(b) ?? [-1, 0, 0];
  return left[0] - right[0] || left[1] - right[1] || left[2] - right[2];
};

export const atLeast = (version: string, floor: string): boolean => compareVersions(version, floor) >= 0;

/** DEL and CHECK get the kept result, and CHECK exists. */
export const knowsCheck = (version: string): boolean => atLeast(version, '0.4.0');

/** GC and STATUS exist. */
export const knowsGc = (version: string): boolean => atLeast(version, '1.1.0');

/**
 * The highest of the configuration's versions that Berth and every plugin know (spec 1.1, "Version considerations"),
 * undefined when there is none. `supported` has one list a plugin; a plugin that did not say has none and is not asked.
 */
export const chooseVersion = (
  wanted: readonly string[],
  supported: readonly (readonly string[])[],
): string | undefined =>
  wanted
    .filter((version) => parseVersion(version) !== undefined && compareVersions(version, newestVersion) <= 0)
    .filter((version) => supported.every((list) => list.includes(version)))
    .toSorted(compareVersions)
    .at(-1);
