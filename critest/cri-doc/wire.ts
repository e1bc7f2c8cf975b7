import { type Field, type MessageType, type MethodType, messageType, methodTypes } from '../../api/schema.ts';

/** The RPCs of CRI v1, in the descriptor's order. */
export const rpcs: readonly MethodType[] = methodTypes.filter(({ path }) => path.startsWith('/runtime.v1.'));

/** Every message that these RPCs' requests and responses hold, each once, the outer before what is in it. */
export const reachable = (methods: readonly MethodType[]): readonly MessageType[] => {
  const found = new Map<string, MessageType>();
  const visit = (name: string): void => {
    if (found.has(name)) return;
    const type = messageType(name);
    found.set(name, type);
    for (const { kind, type: inner = '' } of type.fields) if (kind === 'message') visit(inner);
  };
  for (const { request, response } of methods) {
    visit(request);
    visit(response);
  }
  return [...found.values()];
};

/** `repeated string`, `map`, `NamespaceMode`. */
export const typeText = ({ kind, list, type }: Field): string => {
  if (list === 'map') return 'map';
  return `${list === 'list' ? 'repeated ' : ''}${type ?? kind}`;
};
