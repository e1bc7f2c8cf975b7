import { BerthError } from '../base/errors.ts';
import { descriptor } from './generated/descriptor.ts';

export type Scalar = 'string' | 'bytes' | 'bool' | 'double' | 'int32' | 'uint32' | 'int64' | 'uint64';

export interface EnumType {
  readonly name: string;
  readonly numbers: ReadonlyMap<string, number>;
  readonly names: ReadonlyMap<number, string>;
}

export interface Field {
  readonly id: number;
  readonly name: string;
  /** For errors: `ContainerConfig.stop_signal`. */
  readonly path: string;
  readonly kind: Scalar | 'enum' | 'message';
  readonly list: '' | 'list' | 'map';
  /** The message or enum behind `kind`. */
  readonly type: string | undefined;
}

export interface MessageType {
  readonly name: string;
  readonly fields: readonly Field[];
  readonly byId: ReadonlyMap<number, Field>;
}

/** One RPC as the wire has it. `path` is `/runtime.v1.RuntimeService/Version`. */
export interface MethodType {
  readonly name: string;
  readonly path: string;
  readonly request: string;
  readonly response: string;
  readonly stream: boolean;
  /** Only where the answers are a stream as well. */
  readonly requestStream: boolean;
}

interface Lean {
  readonly messages: Readonly<Record<string, readonly [number, string, Field['kind'], Field['list'], string?][]>>;
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly methods: readonly [string, string, string, string, boolean, boolean][];
}

const lean = JSON.parse(descriptor) as Lean;

const messageTypes = new Map(
  Object.entries(lean.messages).map(([name, rows]): [string, MessageType] => {
    const fields = rows.map(([id, field, kind, list, type]) => ({
      id,
      name: field,
      path: `${name}.${field}`,
      kind,
      list,
      type,
    }));
    return [name, { name, fields, byId: new Map(fields.map((field) => [field.id, field])) }];
  }),
);

const enumTypes = new Map(
  Object.entries(lean.enums).map(([name, values]): [string, EnumType] => {
    const entries = Object.entries(values);
    return [name, { name, numbers: new Map(entries), names: new Map(entries.map(([key, number]) => [number, key])) }];
  }),
);

export const methodTypes: readonly MethodType[] = lean.methods.map(
  ([name, path, request, response, stream, requestStream]) => ({
    name,
    path,
    request,
    response,
    stream,
    requestStream,
  }),
);

const lookup = <T>(types: ReadonlyMap<string, T>, name: string | undefined): T => {
  const type = types.get(name ?? '');
  if (type === undefined) throw new BerthError('internal', `descriptor: nothing is named ${name}`);
  return type;
};

export const messageType = (name: string | undefined): MessageType => lookup(messageTypes, name);
export const enumType = (name: string | undefined): EnumType => lookup(enumTypes, name);

/** A field's value when the wire has none of it; each call gives its own list or map. */
export const defaultOf = (field: Field): unknown => {
  if (field.list === 'list') return [];
  if (field.list === 'map') return {};
  if (field.kind === 'enum') return enumType(field.type).names.get(0);
  if (field.kind === 'bytes') return new Uint8Array(0);
  return scalarDefaults[field.kind];
};

const scalarDefaults = {
  string: '',
  bool: false,
  double: 0,
  int32: 0,
  uint32: 0,
  int64: 0n,
  uint64: 0n,
  message: undefined,
} as const;
