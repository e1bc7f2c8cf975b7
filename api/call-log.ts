import { codeOf, type ErrorCode } from '../base/errors.ts';
import type { Log } from './handlers.ts';
import type { RpcName } from './methods.ts';
import { printable } from './status.ts';

type Level = keyof Log;

/** Calls that change nothing, and ExecSync, which probes send every few seconds. */
const quiet =
  /^(?:Version|Status|RuntimeConfig|ExecSync|Info|GetContainerEvents|ImageFsInfo)$|^(?:List|Stream)|Stat(?:us|s)$/;

const levels: Readonly<Partial<Record<ErrorCode, Level>>> = {
  internal: 'error',
  'data-loss': 'error',
  unavailable: 'warn',
  'deadline-exceeded': 'warn',
  'resource-exhausted': 'warn',
  'permission-denied': 'warn',
  unauthenticated: 'warn',
};

/** One line a call: what was asked of which object, how long it took, and how it failed. */
export const logCall = (
  log: Log,
  call: {
    readonly rpc: RpcName;
    readonly milliseconds: number;
    readonly ids: Record<string, unknown>;
    readonly error?: unknown;
  },
): void => {
  const fields = { rpc: call.rpc, ms: Math.round(call.milliseconds * 100) / 100, ...call.ids };
  if (call.error === undefined) log[quiet.test(call.rpc) ? 'debug' : 'info'](fields, call.rpc);
  else logFailure(log, fields, call.error);
};

const logFailure = (log: Log, fields: { readonly rpc: RpcName }, error: unknown): void => {
  const code = codeOf(error);
  const level = levels[code] ?? (quiet.test(fields.rpc) ? 'debug' : 'info');
  // a stack helps only where the fault is ours
  const cause = level === 'error' ? { err: error } : {};
  const text = error instanceof Error ? error.message : String(error);
  log[level]({ ...fields, code, error: printable(text), ...cause }, `${fields.rpc} failed`);
};

const scalars = ['pod_sandbox_id', 'container_id', 'image_ref', 'image_id', 'path'] as const;

/** The ids in a request or a response, by their names there. Nothing else of them is logged: there are secrets in it. */
export const idsOf = (message: unknown): Record<string, unknown> => {
  const ids: Record<string, unknown> = {};
  const source = record(message);
  for (const key of scalars) if (typeof source[key] === 'string' && source[key] !== '') ids[key] = short(source[key]);
  const image = typeof source.image === 'string' ? source.image : record(source.image).image;
  if (typeof image === 'string' && image !== '') ids.image = short(image);
  const { name, namespace, uid, attempt } = record(record(source.config).metadata);
  if (typeof name === 'string')
    Object.assign(ids, defined({ name: short(name), namespace: short(namespace), uid: short(uid), attempt }));
  return ids;
};

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

const defined = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const short = (value: unknown): string | undefined =>
  typeof value === 'string' ? printable(value.length > 256 ? `${value.slice(0, 256)}…` : value) : undefined;
