import test from 'ava';
import type { Client } from '../api/client.ts';
import type { Output } from './context.ts';
import { graceOf, longestGrace, stopAll } from './stop-all.ts';

const noted = (text: string) => ({ annotations: { 'io.kubernetes.pod.terminationGracePeriod': text } });

test("a container's grace is what kubelet has noted, 30 s where that is no number, and never more than the unit waits", (t) => {
  t.is(graceOf(noted('5')), 5);
  t.is(graceOf(noted('0')), 0);
  t.is(graceOf({ annotations: {} }), 30);
  for (const text of ['', '-1', '1.5', 'soon', '99999999999']) t.is(graceOf(noted(text)), 30, text);
  t.is(graceOf(noted('3600')), longestGrace);
});

const output = (): Output & { readonly said: string[]; readonly errors: string[] } => {
  const said: string[] = [];
  const errors: string[] = [];
  return {
    tty: false,
    columns: 80,
    said,
    errors,
    write: (data) => void said.push(`${data}`),
    error: (data) => void errors.push(`${data}`),
  };
};

const container = (id: string, state: string, grace = '') => ({ id, state, pod_sandbox_id: 'a', ...noted(grace) });

test('all that runs is stopped at once, and a container that fails keeps no other and no network', async (t) => {
  const calls: string[] = [];
  const client = {
    ListPodSandbox: async () => ({
      items: [
        { id: 'a', state: 'SANDBOX_READY' },
        { id: 'b', state: 'SANDBOX_NOTREADY' },
      ],
    }),
    ListContainers: async () => ({
      containers: [
        container('1', 'CONTAINER_RUNNING', '7'),
        container('2', 'CONTAINER_RUNNING'),
        container('3', 'CONTAINER_EXITED'),
      ],
    }),
    StopContainer: async ({ container_id: id, timeout }: { container_id: string; timeout: number }) => {
      calls.push(`${id} ${timeout}`);
      if (id === '1') throw new Error('it hangs');
    },
    StopPodSandbox: async ({ pod_sandbox_id: id }: { pod_sandbox_id: string }) => void calls.push(`pod ${id}`),
  } as unknown as Client;
  const out = output();
  t.is(await stopAll(client, undefined, out), 1);
  t.deepEqual(calls, ['1 7', '2 30', 'pod a']);
  t.deepEqual(out.errors, ['berth stop: it hangs\n']);
  t.deepEqual(out.said, ['1 pod, 2 containers ended\n']);
  calls.length = 0;
  await stopAll(client, 3, output());
  t.deepEqual(calls.slice(0, 2), ['1 3', '2 3']);
});
