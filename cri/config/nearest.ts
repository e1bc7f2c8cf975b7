/** Edit distance, for names of a few dozen letters. */
const distance = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const same = one[i - 1] === other[j - 1] ? 0 : 1;
      next[j] = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same);
    }
    row = next;
  }
  return row[other.length] ?? 0;
};

/** The known name that was probably meant: a few letters off, or the same key in another table. */
export const nearest = (name: string, known: readonly string[]): string | undefined => {
  const short = name.slice(0, 100);
  const ranked = known
    .map((candidate) => ({ candidate, off: distance(short, candidate) }))
    .sort((a, b) => a.off - b.off);
  const best = ranked[0];
  if (best !== undefined && best.off <= Math.max(2, Math.floor(best.candidate.length / 5))) return best.candidate;
  const last = (text: string): string => text.slice(text.lastIndexOf('.') + 1);
  return known.find((candidate) => last(candidate) === last(short) && candidate !== '');
};
