import protobuf from 'protobufjs/light.js';
import { BerthError } from '../base/errors.ts';
import { root } from './codec.ts';
import type { Rpcs } from './generated/types.ts';

export type RpcName = keyof Rpcs;

/** One RPC as the wire has it. `path` is `/runtime.v1.RuntimeService/Version`. */
export interface Method {
  readonly name: RpcName;
  readonly path: string;
  readonly request: protobuf.Type;
  readonly response: protobuf.Type;
  readonly stream: boolean;
}

const typed = (type: protobuf.Type | null, method: protobuf.Method): protobuf.Type => {
  if (type === null) throw new BerthError('internal', `descriptor: ${method.fullName} has no message type`);
  return type;
};

const methodsOf = (service: protobuf.Service): Method[] =>
  service.methodsArray.map((method) => ({
    name: method.name as RpcName,
    path: `/${service.fullName.replace(/^\./, '')}/${method.name}`,
    request: typed(method.resolvedRequestType, method),
    response: typed(method.resolvedResponseType, method),
    stream: method.responseStream === true,
  }));

const servicesIn = (namespace: protobuf.NamespaceBase): protobuf.Service[] =>
  namespace.nestedArray.flatMap((item) => {
    if (item instanceof protobuf.Service) return [item];
    return item instanceof protobuf.Namespace ? servicesIn(item) : [];
  });

/** Every RPC of RuntimeService, ImageService and Admin. */
export const methods: readonly Method[] = servicesIn(root).flatMap(methodsOf);
