/** One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1); the scheme and the names of parameters in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const longestHeader = 8192;
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const parameterPattern = new RegExp(`(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s,"]+))`, 'y');
const schemePattern = new RegExp(`(${token})(?=\\s|,|$)`, 'y');
const separator = /[\s,]*/y;

/** The challenges in the header, as far as it can be read; what follows a malformed part is left out. */
export const parseChallenges = (header: string): readonly Challenge[] => {
  const text = header.slice(0, longestHeader);
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  for (let at = skip(text, 0); at < text.length; at = skip(text, at)) {
    const parameter = matchAt(parameterPattern, text, at);
    const current = challenges.at(-1);
    if (parameter !== null && current !== undefined) {
      const value = parameter[2]?.replaceAll(/\\(.)/g, '$1') ?? parameter[3] ?? '';
      const name = (parameter[1] ?? '').toLowerCase();
      // The first of two of the same name counts, so that nothing appended can change what came before.
      if (!current.parameters.has(name)) current.parameters.set(name, value);
      at += parameter[0].length;
      continue;
    }
    const scheme = matchAt(schemePattern, text, at);
    if (scheme === null) break;
    challenges.push({ scheme: scheme[0].toLowerCase(), parameters: new Map() });
    at += scheme[0].length;
  }
  return challenges;
};

const matchAt = (pattern: RegExp, text: string, at: number): RegExpExecArray | null => {
  pattern.lastIndex = at;
  return pattern.exec(text);
};

const skip = (text: string, at: number): number => at + (matchAt(separator, text, at)?.[0].length ?? 0);
