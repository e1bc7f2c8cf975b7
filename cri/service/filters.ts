type Labels = Readonly<Record<string, string>>;

/** True when each label of the selector is there with the same value. */
export const hasLabels = (labels: Labels, selector: Labels): boolean =>
  Object.entries(selector).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
