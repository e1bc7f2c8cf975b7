import { join } from 'node:path';
import protobuf from 'protobufjs';

/** For tests: the project's root, and the .proto files as protobufjs parses them. */
export const project = join(import.meta.dirname, '../../..');

export const parseProtos = (): protobuf.Root => {
  const root = new protobuf.Root();
  for (const name of ['runtime/v1/runtime.proto', 'berth/v1/admin.proto'])
    root.loadSync(join(project, 'api/proto', name), { keepCase: true });
  root.resolveAll();
  return root;
};

export const messageTypesOf = (namespace: protobuf.NamespaceBase): protobuf.Type[] =>
  namespace.nestedArray.flatMap((item) => [
    ...(item instanceof protobuf.Type ? [item] : []),
    ...(item instanceof protobuf.Namespace ? messageTypesOf(item) : []),
  ]);
