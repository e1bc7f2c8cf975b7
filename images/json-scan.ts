import { BerthError, invalid } from '../base/errors.ts';

/** Containers in containers; an image's documents have a handful. */
const deepest = 64;
const mostStrings = 200_000;

interface Level {
  /** Of an object; a list has none. */
  readonly keys: Set<string> | undefined;
  key: string;
}

/**
 * Refuses JSON that readers disagree about, or that costs more than it can be worth: a key that an object has twice, a `size`
 * that is not written as a whole number (`7.0`, `7e0`, `-0`), and nesting without end. Says nothing about other faults: what
 * parses the text afterwards finds those. One pass, by hand: a regular expression would begin anew at each quote of a
 * string that never ends.
 */
export const scanJson = (text: string, what: string): void => {
  const stack: Level[] = [];
  let strings = 0;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at] ?? '';
    if (letter === '{' || letter === '[') {
      if (stack.length === deepest) throw invalid(`${what}: nested more than ${deepest} deep`);
      stack.push({ keys: letter === '{' ? new Set() : undefined, key: '' });
    } else if (letter === '}' || letter === ']') stack.pop();
    else if (letter === '"') {
      strings += 1;
      if (strings > mostStrings) throw new BerthError('resource-exhausted', `${what}: more than ${mostStrings} texts`);
      const end = endOfString(text, at);
      const top = stack.at(-1);
      if (top?.keys !== undefined && isKey(text, end)) addKey(top, text.slice(at, end), what);
      at = end - 1;
    } else if (isNumber(letter)) at = checkNumber(text, at, stack.at(-1)?.key, what) - 1;
  }
};

/** Behind the closing quote, or the end of the text. */
const endOfString = (text: string, begin: number): number => {
  for (let at = begin + 1; at < text.length; at += 1) {
    const letter = text[at];
    if (letter === '"') return at + 1;
    if (letter === '\\') at += 1;
  }
  return text.length;
};

const isKey = (text: string, end: number): boolean => {
  let at = end;
  while (' \t\r\n'.includes(text[at] ?? '.')) at += 1;
  return text[at] === ':';
};

const addKey = (level: Level, token: string, what: string): void => {
  level.key = decoded(token);
  if (level.keys?.has(level.key)) throw invalid(`${what}: it has ${token.slice(0, 100)} twice`);
  level.keys?.add(level.key);
};

/** `"a\u0062"` is the key ab. */
const decoded = (token: string): string => {
  if (!token.includes('\\')) return token.slice(1, -1);
  try {
    return String(JSON.parse(token));
  } catch {
    return token;
  }
};

const isNumber = (letter: string): boolean => '-0123456789'.includes(letter);

/** Gives the place behind the number. */
const checkNumber = (text: string, begin: number, key: string | undefined, what: string): number => {
  let end = begin + 1;
  while (end < text.length && '+-.0123456789eE'.includes(text[end] ?? ' ')) end += 1;
  const number = text.slice(begin, end);
  if (key === 'size' && !/^(?:0|[1-9][0-9]*)$/.test(number))
    throw invalid(`${what}: size is not a size: ${number.slice(0, 40)}`);
  return end;
};
