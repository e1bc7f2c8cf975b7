import type {
  CpuUsage,
  FilesystemUsage,
  Input,
  IoUsage,
  MemoryUsage,
  NetworkInterfaceUsage,
  NetworkUsage,
  ProcessUsage,
  PsiData,
  PsiStats,
  SwapUsage,
} from '../../api/generated/types.ts';
import type { MeasuredDisk } from '../container/disk-walk.ts';
import type { CgroupFigures, Pressure, Stall } from './figures.ts';
import type { NetDevice } from './net-devices.ts';
import type { Reading } from './reading.ts';

/** A number that may be missing, as CRI has it. */
const wrapped = (value: bigint | undefined): { readonly value: bigint } | undefined =>
  value === undefined ? undefined : { value };

const wirePressure = (pressure: Pressure | undefined): Input<PsiStats> | undefined =>
  pressure && { Full: wireStall(pressure.full), Some: wireStall(pressure.some) };

const wireStall = ({ total, avg10, avg60, avg300 }: Stall): Input<PsiData> => ({
  // CRI has nanoseconds where the kernel has microseconds.
  Total: total * 1000n,
  Avg10: avg10,
  Avg60: avg60,
  Avg300: avg300,
});

export const wireCpu = ({ figures: { at, cpu, pressure }, nanoCores }: Reading): Input<CpuUsage> => ({
  timestamp: at,
  usage_core_nano_seconds: wrapped(cpu),
  usage_nano_cores: wrapped(nanoCores),
  psi: wirePressure(pressure.cpu),
});

export const wireMemory = ({ at, memory, pressure }: CgroupFigures): Input<MemoryUsage> | undefined =>
  memory && {
    timestamp: at,
    working_set_bytes: wrapped(memory.workingSet),
    available_bytes: wrapped(leftOf(memory.limit, memory.workingSet)),
    usage_bytes: wrapped(memory.usage),
    rss_bytes: wrapped(memory.rss),
    page_faults: wrapped(memory.faults),
    major_page_faults: wrapped(memory.majorFaults),
    psi: wirePressure(pressure.memory),
  };

export const wireSwap = ({ at, memory }: CgroupFigures): Input<SwapUsage> | undefined =>
  memory && {
    timestamp: at,
    swap_available_bytes: wrapped(leftOf(memory.swapLimit, memory.swap)),
    swap_usage_bytes: wrapped(memory.swap),
  };

/** Missing without a limit: nobody can tell then what is left. */
const leftOf = (limit: bigint | undefined, used: bigint): bigint | undefined => {
  if (limit === undefined) return undefined;
  return limit > used ? limit - used : 0n;
};

export const wireIo = ({ at, pressure }: CgroupFigures): Input<IoUsage> | undefined =>
  pressure.io && { timestamp: at, psi: wirePressure(pressure.io) };

export const wireDisk = (use: MeasuredDisk | undefined, mountpoint: string): Input<FilesystemUsage> | undefined =>
  use && {
    timestamp: use.at,
    fs_id: { mountpoint },
    used_bytes: { value: BigInt(use.bytes) },
    inodes_used: { value: BigInt(use.inodes) },
  };

export const wireProcesses = (at: bigint, processes: bigint | undefined): Input<ProcessUsage> | undefined =>
  processes === undefined ? undefined : { timestamp: at, process_count: wrapped(processes) };

/**
 * `own`: the interface that Berth has CNI make first; a pod on a plugin with names of its own has the first one. `interfaces` has it
 * as well, against CRI's comment: kubelet copies that list into /stats/summary as it is, where the default is one of all when
 * cAdvisor counts them, and containerd does so too.
 */
export const wireNetwork = (devices: readonly NetDevice[], own: string, timestamp: bigint): Input<NetworkUsage> => {
  const main = devices.find(({ name }) => name === own) ?? devices[0];
  return { timestamp, default_interface: main && wireDevice(main), interfaces: devices.map(wireDevice) };
};

const wireDevice = (device: NetDevice): Input<NetworkInterfaceUsage> => ({
  name: device.name,
  rx_bytes: wrapped(device.rxBytes),
  rx_errors: wrapped(device.rxErrors),
  tx_bytes: wrapped(device.txBytes),
  tx_errors: wrapped(device.txErrors),
});
