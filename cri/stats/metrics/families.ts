import type { MetricType } from '../../../api/generated/types.ts';

/** A metric as cAdvisor names it: its type, the labels that it has beside the common ones, and what it says. */
export interface Family {
  readonly name: string;
  readonly type: MetricType;
  readonly labels: readonly string[];
  readonly help: string;
}

/** Of every metric, in this order. */
export const commonLabels = ['id', 'name', 'image', 'namespace', 'pod', 'container'] as const;

const counter = (name: string, help: string, ...labels: string[]): Family => ({ name, type: 'COUNTER', labels, help });
const gauge = (name: string, help: string, ...labels: string[]): Family => ({ name, type: 'GAUGE', labels, help });

/** What kubelet gives on /metrics/cadvisor. Values are whole numbers in CRI, so times are whole seconds. */
export const families: readonly Family[] = [
  gauge('container_last_seen', 'When the container was last looked at, in seconds since 1970.'),
  counter('container_cpu_usage_seconds_total', 'CPU time, in seconds.', 'cpu'),
  counter('container_cpu_user_seconds_total', 'CPU time in user mode, in seconds.'),
  counter('container_cpu_system_seconds_total', 'CPU time in the kernel, in seconds.'),
  counter('container_cpu_cfs_periods_total', 'Periods in which the CPU quota was looked at.'),
  counter('container_cpu_cfs_throttled_periods_total', 'Periods in which the CPU quota was used up.'),
  counter('container_cpu_cfs_throttled_seconds_total', 'Time held up by the CPU quota, in seconds.'),
  counter('container_cpu_cfs_burst_periods_total', 'Periods with more CPU time than the quota.'),
  counter('container_cpu_cfs_burst_seconds_total', 'CPU time beyond the quota, in seconds.'),
  gauge('container_memory_usage_bytes', 'Memory in use, with all page cache.'),
  gauge('container_memory_working_set_bytes', 'Memory in use, without page cache that was not used of late.'),
  gauge('container_memory_rss', 'Anonymous memory, in bytes.'),
  gauge('container_memory_cache', 'Page cache, in bytes.'),
  gauge('container_memory_total_active_file_bytes', 'Page cache that was used of late, in bytes.'),
  gauge('container_memory_total_inactive_file_bytes', 'Page cache that was not used of late, in bytes.'),
  gauge('container_memory_mapped_file', 'Mapped files, in bytes.'),
  gauge('container_memory_kernel_usage', 'Memory of the kernel, in bytes.'),
  gauge('container_memory_swap', 'Swap in use, in bytes.'),
  gauge('container_memory_max_usage_bytes', 'The most memory that was ever in use.'),
  counter('container_memory_failcnt', 'How often the memory limit was hit.'),
  counter('container_memory_failures_total', 'Page faults.', 'failure_type', 'scope'),
  counter('container_oom_events_total', 'Processes that were killed for lack of memory.'),
  gauge('container_hugetlb_usage_bytes', 'Huge pages in use, in bytes.', 'pagesize'),
  gauge('container_hugetlb_max_usage_bytes', 'The most huge pages that were ever in use, in bytes.', 'pagesize'),
  counter(
    'container_blkio_device_usage_total',
    'Bytes to and from a block device.',
    'device',
    'major',
    'minor',
    'operation',
  ),
  counter('container_fs_reads_bytes_total', 'Bytes read from a block device.', 'device'),
  counter('container_fs_reads_total', 'Reads from a block device.', 'device'),
  counter('container_fs_writes_bytes_total', 'Bytes written to a block device.', 'device'),
  counter('container_fs_writes_total', 'Writes to a block device.', 'device'),
  gauge('container_fs_usage_bytes', 'What the writable layer and the image’s volumes take, in bytes.', 'device'),
  gauge('container_fs_limit_bytes', 'The size of the file system that the writable layer is on.', 'device'),
  gauge('container_fs_inodes_total', 'Inodes of the file system that the writable layer is on.', 'device'),
  gauge('container_fs_inodes_free', 'Free inodes of the file system that the writable layer is on.', 'device'),
  gauge('container_processes', 'Processes.'),
  gauge('container_threads', 'Processes and threads.'),
  gauge('container_threads_max', 'The most processes and threads that are allowed; 0 without a limit.'),
  gauge('container_file_descriptors', 'Open files of all processes.'),
  gauge('container_sockets', 'Open sockets of all processes.'),
  gauge('container_ulimits_soft', 'Soft limits of the main process.', 'ulimit'),
  gauge('container_spec_cpu_period', 'Microseconds of a period of the CPU quota.'),
  gauge('container_spec_cpu_quota', 'Microseconds of CPU time a period; missing without a quota.'),
  gauge('container_spec_cpu_shares', 'The weight of the container’s CPU time.'),
  gauge('container_spec_memory_limit_bytes', 'The memory limit; 0 without one.'),
  gauge('container_spec_memory_swap_limit_bytes', 'The limit of memory and swap together; 0 without one.'),
  gauge('container_spec_memory_reservation_limit_bytes', 'What the memory is kept to when the machine lacks it.'),
  gauge('container_start_time_seconds', 'When the container was started, in seconds since 1970.'),
  counter('container_pressure_cpu_stalled_seconds_total', 'Time in which all waited for the CPU, in seconds.'),
  counter('container_pressure_cpu_waiting_seconds_total', 'Time in which some waited for the CPU, in seconds.'),
  counter('container_pressure_memory_stalled_seconds_total', 'Time in which all waited for memory, in seconds.'),
  counter('container_pressure_memory_waiting_seconds_total', 'Time in which some waited for memory, in seconds.'),
  counter('container_pressure_io_stalled_seconds_total', 'Time in which all waited for a disk, in seconds.'),
  counter('container_pressure_io_waiting_seconds_total', 'Time in which some waited for a disk, in seconds.'),
  counter('container_network_receive_bytes_total', 'Bytes that came in.', 'interface'),
  counter('container_network_receive_packets_total', 'Packets that came in.', 'interface'),
  counter('container_network_receive_packets_dropped_total', 'Packets that came in and were dropped.', 'interface'),
  counter('container_network_receive_errors_total', 'Errors of what came in.', 'interface'),
  counter('container_network_transmit_bytes_total', 'Bytes that went out.', 'interface'),
  counter('container_network_transmit_packets_total', 'Packets that went out.', 'interface'),
  counter(
    'container_network_transmit_packets_dropped_total',
    'Packets that were to go out and were dropped.',
    'interface',
  ),
  counter('container_network_transmit_errors_total', 'Errors of what was to go out.', 'interface'),
];
