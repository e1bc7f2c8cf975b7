/** A linear congruential generator (Numerical Recipes' constants): the same files on every machine. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ x < 1 */
  next(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state / 2 ** 32;
  }

  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** Small numbers far more often than large ones, as words are in a text. */
  often(end: number): number {
    return Math.floor(end ** this.next()) - 1;
  }

  /** Of a normal distribution around 0 with the deviation 1. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
  }
}

const poolBytes = 24 << 20;
const longestWord = 12;

/** A stream of `vocabulary` without a period shorter than itself, from which files are cut at random places. */
const pool = (dice: Dice, vocabulary: readonly Buffer[], after: (dice: Dice) => Buffer): Buffer => {
  const out = Buffer.alloc(poolBytes + 64);
  for (let at = 0; at < poolBytes; ) {
    at += vocabulary[dice.often(vocabulary.length)]?.copy(out, at) ?? 0;
    at += after(dice).copy(out, at);
  }
  return out.subarray(0, poolBytes);
};

const bytes = (dice: Dice, count: number, first: number, range: number): Buffer =>
  Buffer.from(Array.from({ length: count }, () => first + dice.below(range)));

const words = (dice: Dice, count: number, first: number, range: number): Buffer[] =>
  Array.from({ length: count }, () => bytes(dice, 2 + dice.below(longestWord - 2), first, range));

/** gzip makes about a third of the text, and half of the code; noise is what is compressed already. */
export const makePools = (): Readonly<Record<'text' | 'code' | 'noise', Buffer>> => {
  const dice = new Dice(1);
  const separators = [' ', ' ', ' ', ' ', ', ', '.\n', '\n    ', ' = ', '("', '");\n'].map((text) => Buffer.from(text));
  const space = separators[0] ?? Buffer.alloc(0);
  const text = pool(dice, words(dice, 2000, 97, 26), (of) => separators[of.below(separators.length)] ?? space);
  const code = pool(dice, words(dice, 3000, 0, 256), (of) => bytes(of, of.below(3), 0, 256));
  const noise = Buffer.alloc(poolBytes);
  for (let at = 0; at < poolBytes; at += 1) noise[at] = dice.below(256);
  return { text, code, noise };
};
