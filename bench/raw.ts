import { type Client, credentials, Client as GrpcClient, type ServiceError } from '@grpc/grpc-js';
import { encode } from '../api/codec.ts';
import type { Input, Rpcs } from '../api/generated/types.ts';
import { methods, type RpcName } from '../api/methods.ts';

const asIs = (bytes: Buffer): Buffer => bytes;

/** Calls whose answers stay bytes: what is timed is the endpoint, not the decoding by who asks. */
export class RawClient implements Disposable {
  readonly #grpc: Client;

  /** `unix:///run/berth/berth.sock` */
  constructor(address: string) {
    this.#grpc = new GrpcClient(address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** The answer's bytes. Errors: gRPC's own. */
  call<Name extends RpcName>(name: Name, request: Input<Rpcs[Name]['request']>): Promise<Buffer> {
    const method = methodOf(name);
    const bytes = encode(method.request, request as never);
    return new Promise((resolve, reject) => {
      this.#grpc.makeUnaryRequest(method.path, asIs, asIs, bytes, (error: ServiceError | null, answer) => {
        if (error === null && answer !== undefined) resolve(answer);
        else reject(error);
      });
    });
  }

  /** Reads a stream of answers until `close`; `onAnswer` for each of them. Without it nothing is read. */
  listen(name: RpcName, onAnswer?: (bytes: Buffer) => void): { close(): void } {
    const call = this.#grpc.makeServerStreamRequest(methodOf(name).path, asIs, asIs, Buffer.alloc(0));
    call.on('error', () => undefined); // it ends by `close`
    if (onAnswer !== undefined) call.on('data', onAnswer);
    return { close: () => call.cancel() };
  }

  [Symbol.dispose](): void {
    this.#grpc.close();
  }
}

const methodOf = (name: RpcName) => {
  const method = methods.find((one) => one.name === name);
  if (method === undefined) throw new Error(`no RPC is named ${name}`);
  return method;
};
