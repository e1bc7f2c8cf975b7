import type { MessageName } from './codec.ts';
import type { Rpcs } from './generated/types.ts';
import { methodTypes } from './schema.ts';

export type RpcName = keyof Rpcs;

/** One RPC as the wire has it. `path` is `/runtime.v1.RuntimeService/Version`. */
export interface Method {
  readonly name: RpcName;
  readonly path: string;
  readonly request: MessageName;
  readonly response: MessageName;
  readonly stream: boolean;
  /** Only where the answers are a stream as well. */
  readonly requestStream: boolean;
}

/** Every RPC of RuntimeService, ImageService and Admin. Names and types come from one generator. */
export const methods = methodTypes as readonly Method[];
