/** What an interface has carried since it was made. */
export interface NetDevice {
  readonly name: string;
  readonly rxBytes: bigint;
  readonly rxPackets: bigint;
  readonly rxErrors: bigint;
  readonly rxDropped: bigint;
  readonly txBytes: bigint;
  readonly txPackets: bigint;
  readonly txErrors: bigint;
  readonly txDropped: bigint;
}

/** The text of /proc/net/dev (proc(5)): two lines of headings, then a line an interface. Without loopback. */
export const parseNetDevices = (text: string): readonly NetDevice[] =>
  text
    .split('\n')
    .map(parseLine)
    .filter((device) => device !== undefined && device.name !== 'lo')
    .filter((device) => device !== undefined);

const parseLine = (line: string): NetDevice | undefined => {
  const [, name, rest = ''] = /^\s*([^\s:]+(?::\d+)?):\s*([\d\s]+)$/.exec(line) ?? [];
  const numbers = rest.trim().split(/\s+/).map(BigInt);
  const at = (index: number): bigint => numbers[index] ?? 0n;
  if (name === undefined || numbers.length < 16) return undefined;
  return {
    name,
    rxBytes: at(0),
    rxPackets: at(1),
    rxErrors: at(2),
    rxDropped: at(3),
    txBytes: at(8),
    txPackets: at(9),
    txErrors: at(10),
    txDropped: at(11),
  };
};
