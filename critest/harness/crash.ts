import type { ExecutionContext } from 'ava';
import type { RpcName } from '../../api/methods.ts';
import type { TestDaemon } from './daemon.ts';
import { runPod } from './pods.ts';
import type { Snapshot } from './snapshot.ts';

/** One RPC to crash in. */
export interface Scenario<Prepared> {
  readonly rpc: RpcName;
  /** The number of steps that it had when this was written; fewer means that something lost its `step`. */
  readonly steps: number;
  /** What the call needs, made without the RPC itself. */
  prepare(daemon: TestDaemon): Promise<Prepared>;
  call(daemon: TestDaemon, prepared: Prepared): Promise<unknown>;
  /** After the restart: every object is whole or gone. */
  check(t: ExecutionContext, daemon: TestDaemon, prepared: Prepared): Promise<void>;
  /** Takes the objects away. */
  clean(daemon: TestDaemon): Promise<void>;
}

/** More steps than any call has: the loop ends. */
const limit = 120;

const reused = /files: (f \.\/(root\/seccomp\/|ipam\/test\/last_reserved_ip)|. \.\/root\/images)/;
