import { hostOf } from './credentials.ts';

/** `host[:port][/path]` as in `auths` of a Docker config.json and in matchImages of the kubelet's credential providers. */
export interface ImagePattern {
  readonly text: string;
  /** Labels of the host, in which `*` stands for anything but a dot. */
  readonly labels: readonly string[];
  readonly port: string;
  readonly path: readonly string[];
}

/** Undefined for what is no such pattern. A scheme, and the `/v1/` or `/v2/` of a registry's address, mean nothing. */
export const parsePattern = (text: string): ImagePattern | undefined => {
  const address = text.replace(/^https?:\/\//i, '');
  const [, host = '', port = '', path = ''] = /^(\[[\da-f:.]+\]|[\w.*-]+)(?::(\d{1,5}))?(\/.*)?$/i.exec(address) ?? [];
  if (host === '') return undefined;
  const parts = path
    .replace(/^\/v[12](?=\/|$)/, '')
    .split('/')
    .filter(Boolean);
  return { text, labels: labelsOf(port === '' ? hostOf(host) : host), port, path: parts };
};

const labelsOf = (host: string): readonly string[] => {
  const name = host.toLowerCase();
  return name.startsWith('[') ? [name] : name.split('.');
};

/**
 * Whether the pattern is for this repository: as many labels, each of which matches, the same port, and its path whole
 * components from the beginning (`a/b` is not for `a/bc`, where the kubelet lets it be).
 */
export const matches = (pattern: ImagePattern, host: string, repository: string): boolean => {
  const target = parsePattern(host);
  if (target === undefined || target.port !== pattern.port || target.labels.length !== pattern.labels.length)
    return false;
  const parts = repository.split('/');
  return (
    pattern.labels.every((label, at) => isLabel(label, target.labels[at] ?? '')) &&
    pattern.path.every((part, at) => part === parts[at])
  );
};

const isLabel = (pattern: string, label: string): boolean =>
  pattern === label ||
  (pattern.includes('*') &&
    new RegExp(`^${pattern.replaceAll(/[^\w*]/g, '\\$&').replaceAll(/\*+/g, '[^.]*')}$`).test(label));

/** Of two that match, the one to try first: the longer path, the host without `*`, the longer text. */
export const bySpecificity = (a: ImagePattern, b: ImagePattern): number =>
  b.path.length - a.path.length || wildcards(a) - wildcards(b) || b.text.length - a.text.length;

const wildcards = ({ labels }: ImagePattern): number => labels.filter((label) => label.includes('*')).length;
