import { invalid } from '../../base/errors.ts';

/** Linux capabilities by number (capabilities(7); include/uapi/linux/capability.h up to 6.x: 40 is the last). */
const names = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

export type Capability = (typeof names)[number];

const numbers: ReadonlyMap<string, number> = new Map(names.map((name, number) => [name, number]));

/** All that Berth knows, by number. */
export const allCapabilities: readonly Capability[] = names;

/** What a container has when nobody says otherwise: the set that Docker chose and Kubernetes' documentation names. */
export const defaultCapabilities: readonly Capability[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SYS_CHROOT',
  'CAP_MKNOD',
  'CAP_AUDIT_WRITE',
  'CAP_SETFCAP',
];

/** `net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN` are the same; anything unknown is `invalid-argument`. */
export const parseCapability = (text: string): Capability => {
  const upper = text.toUpperCase();
  const number = numbers.get(upper.startsWith('CAP_') ? upper : `CAP_${upper}`);
  const name = number === undefined ? undefined : names[number];
  if (name === undefined) throw invalid(`capability ${JSON.stringify(text.slice(0, 64))}: no such capability`);
  return name;
};

export const capabilityNumber = (name: string): number => names.indexOf(parseCapability(name));

/** undefined for a number that Berth does not know. */
export const capabilityName = (number: number): Capability | undefined => names[number];

/** Bit n is capability n, as in `/proc/PID/status` and capset(2). */
export const capabilityMask = (list: readonly string[]): bigint =>
  list.reduce((mask, name) => mask | (1n << BigInt(capabilityNumber(name))), 0n);

/** The names of a mask, by number; bits that Berth does not know are left out. */
export const capabilitiesIn = (mask: bigint): Capability[] =>
  names.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n);

export interface CapabilityRequest {
  readonly add: readonly string[];
  readonly drop: readonly string[];
  /** Set instead of the default one when nothing is asked for. */
  readonly base?: readonly string[];
  /** What the daemon itself may give (its bounding set); more cannot be had, so more is left out. */
  readonly available?: bigint;
}

const isAll = (text: string): boolean => /^(?:CAP_)?ALL$/i.test(text);

/**
 * The container's set, by number. CRI `Capability`: ALL in `drop` empties the set first, ALL in `add` fills it, single
 * names are added after that, and single drops come last; so `drop: [ALL], add: [X]` is X, and X both added and
 * dropped is not there. With ALL in both, drop comes after add, as the field's other runtimes have it.
 */
export const capabilitySet = (request: CapabilityRequest): Capability[] => {
  const { add, drop, base = defaultCapabilities, available } = request;
  let mask = capabilityMask(add.some(isAll) ? names : base);
  if (drop.some(isAll)) mask = 0n;
  mask |= capabilityMask(add.filter((name) => !isAll(name)));
  mask &= ~capabilityMask(drop.filter((name) => !isAll(name)));
  return capabilitiesIn(available === undefined ? mask : mask & available);
};
