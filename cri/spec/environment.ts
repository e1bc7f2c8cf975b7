import { isUtf8 } from 'node:buffer';
import { invalid } from '../../base/errors.ts';
import { textOfBytes } from '../../shim/text.ts';
import type { ContainerConfig, ImageConfig } from './types.ts';

/** What a process finds its program with when neither image nor request sets PATH. */
export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const valueText = (value: Uint8Array | undefined): string => {
  if (value === undefined) return '';
  return isUtf8(value) ? Buffer.from(value).toString('utf8') : textOfBytes(value);
};

const checked = (name: string, value: string, field: string): readonly [string, string] => {
  if (name === '') throw invalid(`${field}: a variable without a name`);
  if (name.includes('=') || name.includes('\0')) throw invalid(`${field}: ${JSON.stringify(name)} holds "=" or a NUL`);
  if (value.includes('\0')) throw invalid(`${field}: the value of "${name}" holds a NUL`);
  return [name, value];
};

// An image's Env entry without "=" is a name with nothing in it, as Docker has it.
const imageEntry = (entry: string): readonly [string, string] => {
  const at = entry.indexOf('=');
  return at < 0 ? checked(entry, '', 'image Env') : checked(entry.slice(0, at), entry.slice(at + 1), 'image Env');
};

export interface EnvironmentDefaults {
  readonly hostname: string;
  readonly home: string;
}

/**
 * The environment as NAME=value, each name once: defaults, then the image's, then the request's; the last wins.
 * Values that are not UTF-8 are in the escaped form of shim/text.ts.
 */
export const environment = (
  config: ContainerConfig,
  image: ImageConfig,
  defaults: EnvironmentDefaults,
): readonly string[] => {
  const variables = new Map<string, string>([
    ['PATH', defaultPath],
    ['HOSTNAME', defaults.hostname],
    ['HOME', defaults.home],
  ]);
  if (config.tty) variables.set('TERM', 'xterm');
  for (const entry of image.Env ?? []) variables.set(...imageEntry(entry));
  for (const { key, value } of config.envs ?? []) variables.set(...checked(key ?? '', valueText(value), 'envs'));
  return [...variables].map(([name, value]) => `${name}=${value}`);
};
