import { messageOf } from '../base/errors.ts';
import { formatReference, nameOf, parseReference } from './reference.ts';

/** Whether a normalised name (`docker.io/library/busybox:1.36`, `…@sha256:…`) is one of a pinned image. */
export type Pinning = (name: string) => boolean;

/**
 * Patterns as users of containerd and CRI-O write them. With `*` (any characters, also `/`) one stands for whole normalised
 * names. Without, it is a reference: with a tag or digest for that alone, else for all of its repository.
 */
export const pinning = (patterns: readonly string[]): Pinning => {
  const tests = patterns.map(matcher);
  return (name) => tests.some((matches) => matches(name));
};

/** What is wrong with a pattern, or undefined. */
export const problemOfPattern = (pattern: string): string | undefined => {
  if (pattern.includes('*'))
    return /^[A-Za-z0-9_.:/@*[\]-]+$/.test(pattern) ? undefined : 'has a character that no image name has';
  try {
    parseReference(pattern);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
};

const matcher = (pattern: string): Pinning => {
  if (pattern.includes('*')) return globMatcher(pattern);
  const reference = parseReference(pattern);
  const repository = nameOf(reference);
  if (reference.digest !== undefined || hasTag(pattern)) return (name) => name === formatReference(reference);
  return (name) => name.startsWith(`${repository}:`) || name.startsWith(`${repository}@`);
};

/** A colon before the last slash is a port. */
const hasTag = (text: string): boolean => /:[^/]*$/.test(text);

/** Without regular expressions: a pattern of many `*` must not take exponential time. */
const globMatcher = (pattern: string): Pinning => {
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop() ?? '';
  return (name) => {
    if (!name.startsWith(head) || name.length < head.length + tail.length || !name.endsWith(tail)) return false;
    const end = name.length - tail.length;
    let at = head.length;
    for (const part of rest) {
      const found = name.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  };
};
