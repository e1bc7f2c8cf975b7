import type { PortForwardRequest, PortForwardResponse } from '../../api/generated/types.ts';
import { BerthError, invalid, within } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';

/** Each has two channels of a WebSocket, whose numbers are one byte. */
const mostPorts = 128;

/** Where a client can connect to ports of the pod's loopback, soon. The ports of the request are those of a WebSocket. */
export const portForward = (runtime: Runtime, request: PortForwardRequest): PortForwardResponse => {
  const { pod_sandbox_id: id, port: ports } = request;
  const wrong = ports.find((port) => port < 1 || port > 65_535);
  if (wrong !== undefined) throw invalid(`port-forward to pod sandbox ${id}: port ${wrong}`);
  if (ports.length > mostPorts)
    throw invalid(
      `port-forward to pod sandbox ${id}: ${ports.length} ports, at most ${mostPorts} go over one connection`,
    );
  const sandbox = readySandbox(runtime, id);
  return {
    url: runtime.streaming.urlOf({
      kind: 'portforward',
      ports,
      connect: async (port, signal) => {
        const { netns } = readySandbox(runtime, sandbox.id).record;
        return runtime.forwarder.connect(netns === '' ? undefined : netns, port, signal).catch((error: unknown) => {
          throw within(`pod sandbox ${sandbox.id}`, error);
        });
      },
    }),
  };
};

const readySandbox = (runtime: Runtime, id: string): Sandbox => {
  const sandbox = runtime.sandboxes.get(id);
  const { state } = sandbox.record;
  if (state === 'ready') return sandbox;
  throw new BerthError('failed-precondition', `port-forward to pod sandbox ${sandbox.id}: it is ${state}, not ready`);
};
