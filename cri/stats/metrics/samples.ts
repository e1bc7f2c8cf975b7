import type { LinuxContainerResources } from '../../../api/generated/types.ts';
import type { MeasuredDisk } from '../../container/disk-walk.ts';
import type { CgroupFigures, Pressure } from '../figures.ts';
import type { NetDevice } from '../net-devices.ts';
import type { BlockIo } from './block-io.ts';
import type { DeviceNames } from './device-names.ts';
import type { MoreFigures } from './more-figures.ts';
import type { ProcessFigures } from './processes.ts';

/** A metric's name, its value, and the values of the labels that it has beside the common ones. */
export type Sample = readonly [name: string, value: bigint, ...labels: string[]];

type MaybeSample = readonly [name: string, value: bigint | undefined, ...labels: string[]];

const there = (samples: readonly MaybeSample[]): readonly Sample[] =>
  samples.filter((sample): sample is Sample => sample[1] !== undefined);

const second = 1_000_000_000n;
const seconds = (nanoseconds: bigint | undefined): bigint | undefined =>
  nanoseconds === undefined ? undefined : nanoseconds / second;

export const cpuSamples = ({ cpu }: CgroupFigures, more: MoreFigures): readonly Sample[] =>
  there([
    ['container_cpu_usage_seconds_total', seconds(cpu), 'total'],
    ['container_cpu_user_seconds_total', seconds(more.user)],
    ['container_cpu_system_seconds_total', seconds(more.system)],
    ['container_cpu_cfs_periods_total', more.periods],
    ['container_cpu_cfs_throttled_periods_total', more.throttledPeriods],
    ['container_cpu_cfs_throttled_seconds_total', seconds(more.throttled)],
    ['container_cpu_cfs_burst_periods_total', more.burstPeriods],
    ['container_cpu_cfs_burst_seconds_total', seconds(more.burst)],
  ]);

export const memorySamples = ({ memory }: CgroupFigures, more: MoreFigures): readonly Sample[] =>
  there([
    ['container_memory_usage_bytes', memory?.usage],
    ['container_memory_working_set_bytes', memory?.workingSet],
    ['container_memory_rss', memory?.rss],
    ['container_memory_cache', memory?.cache],
    ['container_memory_total_active_file_bytes', memory?.activeFile],
    ['container_memory_total_inactive_file_bytes', memory?.inactiveFile],
    ['container_memory_mapped_file', memory?.mapped],
    ['container_memory_kernel_usage', more.kernel],
    ['container_memory_swap', memory?.swap],
    ['container_memory_max_usage_bytes', more.peak],
    ['container_memory_failcnt', more.limitHits],
    ['container_memory_failures_total', memory?.faults, 'pgfault', 'container'],
    ['container_memory_failures_total', memory?.faults, 'pgfault', 'hierarchy'],
    ['container_memory_failures_total', memory?.majorFaults, 'pgmajfault', 'container'],
    ['container_memory_failures_total', memory?.majorFaults, 'pgmajfault', 'hierarchy'],
    ['container_oom_events_total', more.oomKills],
    ...more.hugePages.flatMap(({ size, usage, most }): MaybeSample[] => [
      ['container_hugetlb_usage_bytes', usage, size],
      ['container_hugetlb_max_usage_bytes', most, size],
    ]),
  ]);

export const blockSamples = (devices: readonly BlockIo[], nameOf: DeviceNames): readonly Sample[] =>
  devices.flatMap((io): Sample[] => {
    const device = nameOf(`${io.major}:${io.minor}`);
    return [
      ['container_blkio_device_usage_total', io.readBytes, device, io.major, io.minor, 'Read'],
      ['container_blkio_device_usage_total', io.writtenBytes, device, io.major, io.minor, 'Write'],
      ['container_fs_reads_bytes_total', io.readBytes, device],
      ['container_fs_reads_total', io.reads, device],
      ['container_fs_writes_bytes_total', io.writtenBytes, device],
      ['container_fs_writes_total', io.writes, device],
    ];
  });

/** The file system below the writable layer, as statfs(2) tells it. */
export interface FileSystem {
  /** "/dev/sda1". */
  readonly device: string;
  readonly bytes: bigint;
  readonly inodes: bigint;
  readonly freeInodes: bigint;
}

export const diskSamples = (
  use: MeasuredDisk | undefined,
  { device, bytes, inodes, freeInodes }: FileSystem,
): readonly Sample[] =>
  there([
    ['container_fs_usage_bytes', use && BigInt(use.bytes), device],
    ['container_fs_limit_bytes', bytes, device],
    ['container_fs_inodes_total', inodes, device],
    ['container_fs_inodes_free', freeInodes, device],
  ]);

export const processSamples = (
  threads: bigint | undefined,
  { mostThreads }: MoreFigures,
  { processes, descriptors, sockets }: ProcessFigures,
  openFiles: bigint | undefined,
): readonly Sample[] =>
  there([
    ['container_processes', processes],
    ['container_threads', threads],
    ['container_threads_max', mostThreads],
    ['container_file_descriptors', descriptors],
    ['container_sockets', sockets],
    ['container_ulimits_soft', openFiles, 'max_open_files'],
  ]);

const limit = (bytes: bigint | undefined): bigint => (bytes === undefined || bytes < 0n ? 0n : bytes);

export const specSamples = (resources: LinuxContainerResources | undefined, startedAt: bigint): readonly Sample[] =>
  there([
    ['container_spec_cpu_period', resources?.cpu_period || 100_000n],
    ['container_spec_cpu_quota', resources && resources.cpu_quota > 0n ? resources.cpu_quota : undefined],
    ['container_spec_cpu_shares', resources?.cpu_shares || 1024n],
    ['container_spec_memory_limit_bytes', limit(resources?.memory_limit_in_bytes)],
    ['container_spec_memory_swap_limit_bytes', limit(resources?.memory_swap_limit_in_bytes)],
    ['container_spec_memory_reservation_limit_bytes', reservationOf(resources)],
    ['container_start_time_seconds', startedAt / second],
  ]);

const reservationOf = (resources: LinuxContainerResources | undefined): bigint => {
  const text = resources?.unified['memory.low'] ?? resources?.unified['memory.min'] ?? '';
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
};

const million = 1_000_000n;

export const pressureSamples = ({ pressure }: CgroupFigures): readonly Sample[] =>
  Object.entries(pressure).flatMap(([what, stalls]: [string, Pressure | undefined]): Sample[] =>
    stalls === undefined
      ? []
      : [
          [`container_pressure_${what}_stalled_seconds_total`, stalls.full.total / million],
          [`container_pressure_${what}_waiting_seconds_total`, stalls.some.total / million],
        ],
  );

export const networkSamples = (devices: readonly NetDevice[]): readonly Sample[] =>
  devices.flatMap((device): Sample[] => [
    ['container_network_receive_bytes_total', device.rxBytes, device.name],
    ['container_network_receive_packets_total', device.rxPackets, device.name],
    ['container_network_receive_packets_dropped_total', device.rxDropped, device.name],
    ['container_network_receive_errors_total', device.rxErrors, device.name],
    ['container_network_transmit_bytes_total', device.txBytes, device.name],
    ['container_network_transmit_packets_total', device.txPackets, device.name],
    ['container_network_transmit_packets_dropped_total', device.txDropped, device.name],
    ['container_network_transmit_errors_total', device.txErrors, device.name],
  ]);
