// Makes api/generated/ from api/proto/: types.ts (what handlers and clients see) and descriptor.ts (what the daemon
// loads instead of the .proto files and their parser).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const project = join(dirname(fileURLToPath(import.meta.url)), '..');
const target = join(project, 'api/generated');
const protos = ['runtime/v1/runtime.proto', 'berth/v1/admin.proto'];
const header = '// Made by scripts/generate.mjs from api/proto/. Not in git; do not edit.\n';

const load = () => {
  const root = new protobuf.Root();
  for (const path of protos)
    protobuf.parse(readFileSync(join(project, 'api/proto', path), 'utf8'), root, {
      keepCase: true,
      alternateCommentMode: true,
    });
  root.resolveAll();
  return root;
};

/** Everything below a namespace, depth first, in the file's order. */
const walk = (namespace) =>
  namespace.nestedArray.flatMap((item) => [item, ...(item.nestedArray === undefined ? [] : walk(item))]);

/** `SecurityProfile.ProfileType` becomes `SecurityProfile_ProfileType`: TypeScript's interfaces have no inner ones. */
const nameOf = (item) => (item.parent instanceof protobuf.Type ? `${nameOf(item.parent)}_${item.name}` : item.name);

const comment = (text, indent = '') =>
  text ? `${indent}/** ${text.replaceAll('\n', ' ').replaceAll('*/', '* /')} */\n` : '';

const scalars = {
  string: 'string',
  bytes: 'Uint8Array',
  bool: 'boolean',
  double: 'number',
  int32: 'number',
  uint32: 'number',
  int64: 'bigint',
  uint64: 'bigint',
};

const valueType = (field) => {
  if (field.resolvedType !== null) return nameOf(field.resolvedType);
  const type = scalars[field.type];
  if (type === undefined) throw new Error(`generate: ${field.fullName}: no TypeScript type for ${field.type}`);
  return type;
};

const fieldType = (field) => {
  const value = valueType(field);
  if (field.map) return `Readonly<Record<string, ${value}>>`;
  if (field.repeated) return `readonly ${value}[]`;
  return field.resolvedType instanceof protobuf.Type ? `${value} | undefined` : value;
};

const message = (type) => {
  const name = nameOf(type);
  if (type.fieldsArray.length === 0)
    return `${comment(type.comment)}export type ${name} = Readonly<Record<string, never>>;\n`;
  const fields = type.fieldsArray.map(
    (field) => `${comment(field.comment, '  ')}  readonly ${field.name}: ${fieldType(field)};\n`,
  );
  return `${comment(type.comment)}export interface ${name} {\n${fields.join('')}}\n`;
};

const enumeration = (type) => {
  const name = nameOf(type);
  const values = Object.entries(type.values).map(([key, number]) => `  ${key}: ${number},\n`);
  return `${comment(type.comment)}export const ${name} = {\n${values.join('')}} as const;\nexport type ${name} = keyof typeof ${name};\n`;
};

const service = (type) => {
  const methods = type.methodsArray.map((method) => {
    const { resolvedRequestType: request, resolvedResponseType: response } = method;
    if (method.requestStream && !method.responseStream)
      throw new Error(`generate: ${method.fullName}: a stream of requests with one answer has no type here`);
    const streams = `stream: ${method.responseStream === true}; requestStream: ${method.requestStream === true}`;
    return `${comment(method.comment, '  ')}  ${method.name}: { request: ${nameOf(request)}; response: ${nameOf(response)}; ${streams} };\n`;
  });
  return `${comment(type.comment)}export interface ${nameOf(type)} {\n${methods.join('')}}\n`;
};

const write = (item) => {
  if (item instanceof protobuf.Type) return message(item);
  if (item instanceof protobuf.Enum) return enumeration(item);
  if (item instanceof protobuf.Service) return service(item);
  return undefined;
};

const input = `/**
 * What an encoder takes for a message: each field may be left out, and a 64-bit integer may be a number while it is
 * safe. A decoded message is a valid input.
 */
export type Input<T> = T extends bigint
  ? bigint | number
  : T extends Uint8Array
    ? Uint8Array
    : T extends readonly (infer Item)[]
      ? readonly Input<Item>[]
      : T extends object
        ? { readonly [Key in keyof T]?: Input<T[Key]> | undefined }
        : T;
`;

const unique = (items) => {
  const seen = new Map();
  for (const item of items) {
    const other = seen.get(nameOf(item));
    if (other !== undefined) throw new Error(`generate: ${item.fullName} and ${other.fullName} have one name`);
    seen.set(nameOf(item), item);
  }
  return items;
};

/** Names to types, for what takes a message's or a service's name. */
const index = (name, text, list) =>
  `/** ${text} */\nexport interface ${name} {\n${list.map((item) => `  ${nameOf(item)}: ${nameOf(item)};\n`).join('')}}\n`;

const root = load();
const items = unique(walk(root).filter((item) => write(item) !== undefined));
unique(items.filter((item) => item instanceof protobuf.Service).flatMap((item) => item.methodsArray));
mkdirSync(target, { recursive: true });
const messages = items.filter((item) => item instanceof protobuf.Type);
const services = items.filter((item) => item instanceof protobuf.Service);
const parts = [
  header,
  input,
  ...items.map(write),
  index('Messages', 'Every message by its name.', messages),
  `/** Every RPC of every service: their names are unique. */\nexport interface Rpcs extends ${services.map(nameOf).join(', ')} {}\n`,
];
writeFileSync(join(target, 'types.ts'), parts.join('\n'));

/** [number, name, kind, list, type]: `kind` is a scalar's name, `enum` or `message`; `list` is '', 'list' or 'map'. */
const leanField = (field) => {
  const { resolvedType } = field;
  const list = field.map ? 'map' : field.repeated ? 'list' : '';
  if (resolvedType === null) return [field.id, field.name, field.type, list];
  return [field.id, field.name, resolvedType instanceof protobuf.Enum ? 'enum' : 'message', list, nameOf(resolvedType)];
};
const leanMethod = (service) => (method) => [
  method.name,
  `/${service.fullName.slice(1)}/${method.name}`,
  nameOf(method.resolvedRequestType),
  nameOf(method.resolvedResponseType),
  method.responseStream === true,
  method.requestStream === true,
];
const lean = {
  messages: Object.fromEntries(messages.map((item) => [nameOf(item), item.fieldsArray.map(leanField)])),
  enums: Object.fromEntries(
    items.filter((item) => item instanceof protobuf.Enum).map((item) => [nameOf(item), item.values]),
  ),
  methods: services.flatMap((item) => item.methodsArray.map(leanMethod(item))),
};
// A string for JSON.parse is read faster than the same object literal.
writeFileSync(
  join(target, 'descriptor.ts'),
  `${header}/** api/schema.ts reads it. */\nexport const descriptor = ${JSON.stringify(JSON.stringify(lean))};\n`,
);
