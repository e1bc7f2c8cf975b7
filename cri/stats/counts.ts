const newline = 10;
const space = 32;
const zero = 48;
/** 2⁶⁴ has twenty. */
const mostDigits = 20;

/** A whole number that stands alone in these bytes, with or without a newline; undefined for what is none ("max"). */
export const countIn = (bytes: Buffer, start: number, end: number): bigint | undefined => {
  const stop = end > start && bytes[end - 1] === newline ? end - 1 : end;
  if (stop <= start || stop - start > mostDigits) return undefined;
  let value = 0;
  for (let at = start; at < stop; at += 1) {
    const digit = (bytes[at] ?? 0) - zero;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  return BigInt(Number.isSafeInteger(value) ? value : bytes.toString('latin1', start, stop));
};

/** Some numbers of a flat-keyed file ("anon 4096\nfile 0\n"), looked for without making a string of any line. */
export class Keys {
  readonly #keys: readonly Buffer[];

  constructor(...names: readonly string[]) {
    this.#keys = names.map((name) => Buffer.from(name));
  }

  /** In the order of the names; undefined for one that is not there. */
  in(bytes: Buffer, length: number): readonly (bigint | undefined)[] {
    const found: (bigint | undefined)[] = this.#keys.map(() => undefined);
    let start = 0;
    while (start < length) {
      let gap = start;
      while (gap < length && bytes[gap] !== space && bytes[gap] !== newline) gap += 1;
      let end = gap;
      while (end < length && bytes[end] !== newline) end += 1;
      const key = this.#find(bytes, start, gap);
      if (key >= 0) found[key] = countIn(bytes, gap + 1, end);
      start = end + 1;
    }
    return found;
  }

  #find(bytes: Buffer, start: number, end: number): number {
    for (let key = 0; key < this.#keys.length; key += 1) {
      const name = this.#keys[key];
      if (name?.length === end - start && isAt(bytes, end, name)) return key;
    }
    return -1;
  }
}

/** From its end, since many keys begin with the same word. */
const isAt = (bytes: Buffer, end: number, name: Buffer): boolean => {
  for (let back = 1; back <= name.length; back += 1) if (bytes[end - back] !== name[name.length - back]) return false;
  return true;
};
