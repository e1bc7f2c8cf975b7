import test from 'ava';
import type { RunRequest, RunResult } from './agent.ts';
import { Forwarder } from './forward.ts';

const signal = new AbortController().signal;

test('beyond 4096 connections at the same time a port-forward is refused, and one that ends makes room', async (t) => {
  const ends: ((result: RunResult) => void)[] = [];
  const run = (_: RunRequest): Promise<RunResult> => new Promise((resolve) => ends.push(resolve));
  const forwarder = new Forwarder({ run }, '/nowhere');
  const connect = (): Promise<unknown> => forwarder.connect(undefined, 80, signal).catch((error: unknown) => error);
  const first = Array.from({ length: 4096 }, connect);
  t.like(await connect(), { code: 'resource-exhausted', message: 'connect to port 80: 4096 are forwarded already' });
  ends[0]?.({ code: 1, signal: 0, stdout: Buffer.alloc(0), stderr: Buffer.from('x') });
  t.like(await first[0], { code: 'unavailable' });
  const next = connect();
  t.is(ends.length, 4097);
  for (const end of ends) end({ code: 1, signal: 0, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) });
  t.like(await next, { code: 'unavailable' });
});
