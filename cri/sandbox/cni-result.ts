import type { CniResult } from '../network/result.ts';
import { podInterface } from '../network/types.ts';
import type { Runtime } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';

/** CNI's answer as go-cni writes it: the pod's interface, and the node's end of it. Null for a pod without a network of its own. */
export const cniResultOf = async ({ network }: Runtime, { id, record }: Sandbox): Promise<object | null> => {
  if (record.state !== 'ready' || record.netns === '') return null;
  const result = await network.result(id);
  if (result !== undefined) return inGo(result, record.netns);
  return { Interfaces: { [podInterface]: { IPConfigs: record.ips.map((IP) => ({ IP })), Sandbox: record.netns } } };
};

const inGo = ({ interfaces, ips, dns }: CniResult, netns: string): object => {
  const known = interfaces.length > 0 ? interfaces : [{ name: podInterface, mac: '', sandbox: netns }];
  const of = (index: number): object[] =>
    ips
      .filter((ip) => (ip.interface === undefined ? known[index]?.name === podInterface : ip.interface === index))
      .map(({ address: IP, gateway: Gateway }) => ({ IP, Gateway }));
  return {
    Interfaces: Object.fromEntries(
      known.map(({ name, mac: Mac, sandbox: Sandbox }, index) => [name, { IPConfigs: of(index), Mac, Sandbox }]),
    ),
    DNS: [dns],
  };
};
