import { isIP } from 'node:net';
import { isAbsolute, normalize } from 'node:path';
import { socketPath } from '../../api/address.ts';
import { invalid, messageOf } from '../../base/errors.ts';
import { problemOfPattern } from '../../images/pinned.ts';
import { cgroupParent } from '../cgroup/parent.ts';
import { isNetworkV6, parseSubnet } from '../network/subnet.ts';
import { parseEndpoint } from '../observe/endpoint.ts';
import type { Key, TypeName, Value } from './schema.ts';
import type { Raw } from './toml.ts';

type Read = (raw: Raw, key: Key) => Value;

/** The key's value; throws `invalid-argument` that says what is wanted and what was found. */
export const readValue = (key: Key, raw: Raw): Value => readers[key.type](raw, key);

const found = (raw: Raw): string => {
  if (Array.isArray(raw)) return 'a list';
  if (typeof raw === 'object') return 'unfit' in raw ? raw.unfit : 'a list';
  return typeof raw === 'string' ? JSON.stringify(raw.slice(0, 200)) : String(raw);
};

const wanted = (what: string, raw: Raw): Error => invalid(`wants ${what}, not ${found(raw)}`);

const text = (what: string, raw: Raw): string => {
  if (typeof raw !== 'string') throw wanted(what, raw);
  // a control byte would reach file names, /etc files and logs
  if (/\p{Cc}/u.test(raw)) throw invalid(`has a control character: ${found(raw)}`);
  return raw;
};

const path: Read = (raw) => {
  const value = text('an absolute path', raw);
  if (!isAbsolute(value)) throw wanted('an absolute path', raw);
  const clean = normalize(value).replace(/(?<=.)\/$/, '');
  if (clean !== value.replace(/(?<=.)\/$/, ''))
    throw invalid(`wants a path without "..", "." or "//": ${clean} instead of ${value}`);
  return clean;
};

const list =
  (what: string, one: (raw: Raw) => string): Read =>
  (raw) => {
    if (!Array.isArray(raw)) throw wanted(`a list of ${what}`, raw);
    const items = (raw as readonly Raw[]).map(one);
    const twice = items.find((item, at) => items.indexOf(item) !== at);
    if (twice !== undefined) throw invalid(`has ${twice} twice`);
    return items;
  };

const address: Read = (raw) => {
  const value = text('an address unix:///path', raw);
  if (!value.startsWith('unix://')) throw wanted('an address unix:///path', raw);
  socketPath(value);
  return value;
};

const choice: Read = (raw, { choices = [] }) => {
  if (typeof raw !== 'string' || !choices.includes(raw)) throw wanted(`one of ${choices.join(', ')}`, raw);
  return raw;
};

const integer: Read = (raw, { least = 0, most = Number.MAX_SAFE_INTEGER, unit = '' }) => {
  const what = `a whole number of ${unit} from ${least} to ${most}`;
  if (typeof raw !== 'bigint' || raw < least || raw > most) throw wanted(what, raw);
  return Number(raw);
};

const units: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

const size: Read = (raw, { least = 0, most = Number.MAX_SAFE_INTEGER }) => {
  const match = /^(\d{1,15}) ?([A-Za-z]*)$/.exec(String(raw));
  const unit = units[match?.[2] ?? 'none'];
  if (match === null || unit === undefined || !['string', 'bigint'].includes(typeof raw))
    throw wanted('bytes as a whole number, or text with B, KiB, MiB or GiB', raw);
  const bytes = Number(match[1]) * unit;
  if (bytes < least || bytes > most) throw wanted(`from ${least} to ${most} bytes`, raw);
  return bytes;
};

const boolean: Read = (raw) => {
  if (typeof raw !== 'boolean') throw wanted('true or false', raw);
  return raw;
};

const cgroup: Read = (raw) => {
  const what = 'a cgroup path such as "/berth", or a slice such as "berth.slice"';
  const value = text(what, raw);
  if (value === '') return value;
  const isSlice = /^[A-Za-z0-9_][A-Za-z0-9_.-]*\.slice$/.test(value);
  const isPath = /^(?:\/[A-Za-z0-9_.:@-]+)+$/.test(value) && !/\/\.{1,2}(?:\/|$)/.test(value);
  if (!isSlice && !isPath) throw wanted(what, raw);
  try {
    cgroupParent(value, { driver: value.endsWith('.slice') ? 'systemd' : 'cgroupfs', parent: value });
  } catch (error) {
    throw invalid(`${wanted(what, raw).message} (${messageOf(error)})`);
  }
  return value;
};

const networkInterface: Read = (raw) => {
  const value = text('the name of a network interface', raw);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/.test(value))
    throw wanted('the name of a network interface (15 letters at most)', raw);
  return value;
};

const host = (raw: Raw): string => {
  const value = text('host or host:port', raw);
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::(\d{1,5}))?$/.exec(value);
  const port = Number(match?.[2] ?? 1);
  const literal = match?.[1]?.startsWith('[') === true ? match[1].slice(1, -1) : undefined;
  if (match === null || port < 1 || port > 65_535 || (literal !== undefined && isIP(literal) !== 6))
    throw wanted('"host" or "host:port" without http:// and path', raw);
  return value;
};

const pattern = (raw: Raw): string => {
  const value = text('the name of an image, or a pattern with "*"', raw);
  const problem = problemOfPattern(value);
  if (problem !== undefined) throw invalid(`${JSON.stringify(value.slice(0, 200))}: ${problem}`);
  return value;
};

// https://kubernetes.io/docs/reference/kubernetes-api/node/runtime-class-v1/: a DNS label
const handler = (raw: Raw): string => {
  const value = text('the name of a runtime handler', raw);
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(value))
    throw wanted('the name of a runtime handler: up to 63 of a-z, 0-9 and "-"', raw);
  return value;
};

const subnet: Read = (raw) => {
  const what = '"", "none", or an IPv4 range of /8 to /20, and after a comma an IPv6 range of /48 to /112';
  const value = text(what, raw).replaceAll(' ', '');
  if (value === '' || value === 'none') return value;
  const [four = '', six, ...more] = value.split(',');
  if (!inRange(four, 4, 8, 20) || (six !== undefined && !inRange(six, 6, 48, 112)) || more.length > 0)
    throw wanted(what, raw);
  if (parseSubnet(four) === undefined) throw invalid(`wants a range without host bits, not ${four}`);
  if (six !== undefined && !isNetworkV6(six, 48, 112))
    throw invalid(`wants an IPv6 range in hexadecimal, without host bits, that is not of IPv4 addresses, not ${six}`);
  return value;
};

const inRange = (cidr: string, version: 4 | 6, least: number, most: number): boolean => {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(cidr);
  const length = Number(match?.[2]);
  return match !== null && isIP(match[1] ?? '') === version && length >= least && length <= most;
};

const profile: Read = (raw, key) => {
  if (raw === 'builtin') return raw;
  try {
    return path(raw, key);
  } catch (error) {
    throw invalid(`${messageOf(error)} ("builtin" is the other choice)`);
  }
};

// https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/#syntax-and-character-set
const annotation: Read = (raw) => {
  const value = text('the name of an annotation', raw);
  const name = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
  if (value !== '' && !name.test(value)) throw wanted('the name of an annotation such as "example.com/io-weight"', raw);
  return value;
};

const ip: Read = (raw) => {
  const value = text('an IP address', raw);
  if (isIP(value) === 0) throw wanted('an IP address', raw);
  return value;
};

const endpoint: Read = (raw, key) => {
  const what = '"", a socket as unix:///path, or an IP address with its port such as 127.0.0.1:9464 or [::1]:9464';
  const value = text(what, raw);
  if (value === '') return value;
  if (value.startsWith('unix:')) return address(raw, key);
  if (parseEndpoint(value) === undefined) throw wanted(what, raw);
  return value;
};

const file: Read = (raw, key) => (raw === '' ? raw : path(raw, key));

const readers: Readonly<Record<TypeName, Read>> = {
  path,
  paths: list('absolute paths', (raw) => String(path(raw, unnamed))),
  address,
  choice,
  cgroup,
  subnet,
  interface: networkInterface,
  hosts: list('hosts', host),
  patterns: list('image names', pattern),
  handlers: list('runtime handlers', handler),
  integer,
  size,
  boolean,
  profile,
  annotation,
  ip,
  endpoint,
  file,
};

const unnamed: Key = { name: '', type: 'path', reload: false, default: '', comment: [] };
