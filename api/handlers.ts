import type { Logger } from 'pino';
import type { Encoded } from './encoded.ts';
import type { Feed } from './feed.ts';
import type { Input, Rpcs } from './generated/types.ts';
import type { RpcName } from './methods.ts';

/** What api/ logs to: pino's methods, fields first. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export interface Call {
  readonly rpc: RpcName;
  /** Aborts when the client goes away or its deadline passes; the reason is a BerthError that says which. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

export type Answer<Message> = Input<Message> | Encoded;

type Request<Name extends RpcName> = Rpcs[Name]['requestStream'] extends true
  ? AsyncIterable<Rpcs[Name]['request']>
  : Rpcs[Name]['request'];

/** A stream's handler has to end when `call.signal` aborts. Whatever a handler throws becomes a status. */
export type Handler<Name extends RpcName> = (
  request: Request<Name>,
  call: Call,
) => Rpcs[Name]['stream'] extends true
  ? AsyncIterable<Answer<Rpcs[Name]['response']>> | Feed
  : Promise<Answer<Rpcs[Name]['response']>>;

/** The RPCs that are implemented; the others answer UNIMPLEMENTED. */
export type Handlers = { readonly [Name in RpcName]?: Handler<Name> };
