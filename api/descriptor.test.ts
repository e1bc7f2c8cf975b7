import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import protobuf from 'protobufjs';
import { orMissing } from '../base/errors.ts';
import { methods } from './methods.ts';
import { messageTypesOf, parseProtos, project } from './proto/parse.ts';
import { messageType } from './schema.ts';

const root = parseProtos();

const typeName = (type: protobuf.ReflectionObject): string => type.fullName.replace('.runtime.v1.', '');

const fieldType = (field: protobuf.Field): string => {
  const value = field.resolvedType === null ? field.type : typeName(field.resolvedType).replace(/^.*\./, '');
  if (field instanceof protobuf.MapField) return `map<${field.keyType},${value}>`;
  return field.repeated ? `repeated ${value}` : value;
};

const fieldLine = (type: protobuf.Type, field: protobuf.Field): string => {
  const line = ['field', type.name, field.id, field.name, fieldType(field)];
  return (field.options?.deprecated === true ? [...line, '', 'deprecated'] : line).join('\t');
};

const lines = (item: protobuf.ReflectionObject): string[] => {
  if (item instanceof protobuf.Enum)
    return Object.entries(item.values).map(([name, value]) => ['enum', typeName(item), name, value].join('\t'));
  if (item instanceof protobuf.Service)
    return item.methodsArray.map((method) =>
      [
        'rpc',
        item.name,
        method.name,
        `${method.requestStream ? 'stream ' : ''}${method.requestType}`,
        `${method.responseStream ? 'stream ' : ''}${method.responseType}`,
      ].join('\t'),
    );
  if (!(item instanceof protobuf.Type)) return [];
  const own = [
    `message\t${item.name}\t${item.fieldsArray.length}\t`,
    ...item.fieldsArray.map((f) => fieldLine(item, f)),
  ];
  return [...own, ...item.nestedArray.flatMap(lines)];
};

const descriptorLines = (): string[] => {
  const cri = root.lookup('runtime.v1');
  return cri instanceof protobuf.Namespace ? cri.nestedArray.flatMap(lines).toSorted() : [];
};

test('the descriptor has the 43 RPCs, 175 messages, 478 fields and 95 enum values of CRI v1', (t) => {
  const kinds = Object.groupBy(descriptorLines(), (line) => line.split('\t')[0] ?? '');
  const counts = Object.fromEntries(Object.entries(kinds).map(([kind, list]) => [kind, list?.length]));
  t.deepEqual(counts, { enum: 95, field: 478, message: 175, rpc: 43 });
});

// The digest stands for the list of facts where that list is not beside the tree.
test('names, numbers, types, labels and stream flags are those of CRI v1', async (t) => {
  const ours = descriptorLines();
  const facts = await orMissing(readFile(join(project, '../shared/cri-v1.tsv'), 'utf8'));
  if (facts !== undefined)
    t.deepEqual(
      ours,
      facts
        .split('\n')
        .filter((line) => line !== '')
        .toSorted(),
    );
  t.is(
    createHash('sha256').update(ours.join('\n')).digest('hex'),
    '797e78d7665a983813ab56215c6f7bcab38cb35b973237aab4e5dfef14f186b8',
  );
});

test('paths are /runtime.v1.RuntimeService/…, /runtime.v1.ImageService/… and /berth.v1.Admin/…', (t) => {
  t.is(methods.filter(({ path }) => path.startsWith('/runtime.v1.RuntimeService/')).length, 37);
  t.is(methods.filter(({ path }) => path.startsWith('/runtime.v1.ImageService/')).length, 6);
  t.is(methods.filter(({ path }) => path.startsWith('/berth.v1.Admin/')).length, methods.length - 43);
});

test('the lean descriptor says the same as the .proto files', (t) => {
  for (const type of messageTypesOf(root)) {
    const fields = type.fieldsArray.map((field) => [
      field.id,
      field.name,
      leanKind(field),
      field.map ? 'map' : field.repeated ? 'list' : '',
    ]);
    t.deepEqual(
      messageType(type.name).fields.map(({ id, name, kind, list }) => [id, name, kind, list]),
      fields,
    );
  }
});

const leanKind = (field: protobuf.Field): string => {
  if (field.resolvedType === null) return field.type;
  return field.resolvedType instanceof protobuf.Enum ? 'enum' : 'message';
};
