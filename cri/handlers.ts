import type { Handlers } from '../api/handlers.ts';
import { adminActivity } from './admin/activity.ts';
import { adminCheck } from './admin/check.ts';
import { adminCopy } from './admin/copy.ts';
import { adminDiskUsage } from './admin/disk-usage.ts';
import { adminImport } from './admin/import.ts';
import { adminInfo } from './admin/info.ts';
import { adminInspect } from './admin/inspect.ts';
import { adminLoad } from './admin/load.ts';
import { adminPrune } from './admin/prune.ts';
import { adminPull } from './admin/pull.ts';
import { adminPush } from './admin/push.ts';
import { adminReload } from './admin/reload.ts';
import { adminSave } from './admin/save.ts';
import { adminTag } from './admin/tag.ts';
import { adminUntag } from './admin/untag.ts';
import { attachToContainer } from './container/attach.ts';
import { createContainer } from './container/create.ts';
import { execInContainer } from './container/exec.ts';
import { execSyncInContainer } from './container/exec-sync.ts';
import { listContainers, streamContainers } from './container/list.ts';
import { removeContainer } from './container/remove.ts';
import { reopenContainerLog } from './container/reopen-log.ts';
import { startContainer } from './container/start.ts';
import { containerStatus } from './container/status.ts';
import { stopContainer } from './container/stop.ts';
import { updateContainerResources } from './container/update.ts';
import { getContainerEvents } from './events/get-container-events.ts';
import { imageFsInfo } from './image/fs-info.ts';
import { listImages, streamImages } from './image/list.ts';
import { pullImage } from './image/pull.ts';
import { removeImage } from './image/remove.ts';
import { imageStatus } from './image/status.ts';
import type { Reloads } from './reload.ts';
import type { Runtime } from './runtime.ts';
import { listPodSandbox, streamPodSandboxes } from './sandbox/list.ts';
import { portForward } from './sandbox/port-forward.ts';
import { removePodSandbox } from './sandbox/remove.ts';
import { runPodSandbox } from './sandbox/run.ts';
import { podSandboxStatus } from './sandbox/status.ts';
import { stopPodSandbox } from './sandbox/stop.ts';
import { updatePodSandboxResources } from './sandbox/update.ts';
import { runtimeConfig } from './service/runtime-config.ts';
import { statusOfRuntime } from './service/status.ts';
import { updateRuntimeConfig } from './service/update-runtime-config.ts';
import { versionOf } from './service/version.ts';
import { containerStats } from './stats/container-stats.ts';
import { listContainerStats, streamContainerStats } from './stats/list-container-stats.ts';
import { listMetricDescriptors } from './stats/list-metric-descriptors.ts';
import { listPodSandboxMetrics, streamPodSandboxMetrics } from './stats/list-pod-sandbox-metrics.ts';
import { listPodSandboxStats, streamPodSandboxStats } from './stats/list-pod-sandbox-stats.ts';
import { podSandboxStats } from './stats/pod-sandbox-stats.ts';

/**
 * Each RPC that is served and the function that serves it; what is not here answers UNIMPLEMENTED. Asked again after each reload
 * of the configuration: nothing is kept here.
 */
export const handlersOf = (runtime: Runtime, reloads: () => Reloads): Handlers => ({
  Version: async (request) => versionOf(request),
  Status: async (request) => statusOfRuntime(runtime, request),
  UpdateRuntimeConfig: (request, call) => updateRuntimeConfig(runtime, request, call),
  RuntimeConfig: async () => runtimeConfig(runtime),
  RunPodSandbox: (request) => runPodSandbox(runtime, request),
  StopPodSandbox: (request) => stopPodSandbox(runtime, request),
  RemovePodSandbox: (request) => removePodSandbox(runtime, request),
  PodSandboxStatus: (request) => podSandboxStatus(runtime, request),
  ListPodSandbox: async (request) => listPodSandbox(runtime, request),
  CreateContainer: (request) => createContainer(runtime, request),
  StartContainer: (request) => startContainer(runtime, request),
  StopContainer: (request, call) => stopContainer(runtime, request, call),
  RemoveContainer: (request) => removeContainer(runtime, request),
  ListContainers: async (request) => listContainers(runtime, request),
  ContainerStatus: (request) => containerStatus(runtime, request),
  UpdateContainerResources: (request) => updateContainerResources(runtime, request),
  UpdatePodSandboxResources: (request) => updatePodSandboxResources(runtime, request),
  ExecSync: (request, call) => execSyncInContainer(runtime, request, call),
  Exec: async (request) => execInContainer(runtime, request),
  Attach: async (request) => attachToContainer(runtime, request),
  PortForward: async (request) => portForward(runtime, request),
  ReopenContainerLog: (request, call) => reopenContainerLog(runtime, request, call),
  StreamPodSandboxes: (request) => streamPodSandboxes(runtime, request),
  StreamContainers: (request) => streamContainers(runtime, request),
  StreamContainerStats: (request) => streamContainerStats(runtime, request),
  StreamPodSandboxStats: (request) => streamPodSandboxStats(runtime, request),
  StreamImages: (request) => streamImages(runtime, request),
  ListMetricDescriptors: async () => listMetricDescriptors(),
  ListPodSandboxMetrics: () => listPodSandboxMetrics(runtime),
  StreamPodSandboxMetrics: () => streamPodSandboxMetrics(runtime),
  GetContainerEvents: (request, call) => getContainerEvents(runtime, request, call),
  ContainerStats: (request) => containerStats(runtime, request),
  ListContainerStats: (request) => listContainerStats(runtime, request),
  PodSandboxStats: (request) => podSandboxStats(runtime, request),
  ListPodSandboxStats: (request) => listPodSandboxStats(runtime, request),
  PullImage: (request, call) => pullImage(runtime, request, call),
  ListImages: async (request) => listImages(runtime, request),
  ImageStatus: (request) => imageStatus(runtime, request),
  RemoveImage: (request) => removeImage(runtime, request),
  ImageFsInfo: () => imageFsInfo(runtime),
  Pull: (request, call) => adminPull(runtime, request, call),
  Load: (requests, call) => adminLoad(runtime, requests, call),
  Save: (request, call) => adminSave(runtime, request, call),
  Push: (request, call) => adminPush(runtime, request, call),
  Import: (request, call) => adminImport(runtime, request, call),
  Copy: async (request) => adminCopy(runtime, request),
  Info: async () => adminInfo(runtime),
  DiskUsage: (request, call) => adminDiskUsage(runtime, request, call),
  Check: (request, call) => adminCheck(runtime, request, call),
  Prune: (request, call) => adminPrune(runtime, request, call),
  Activity: async () => adminActivity(runtime),
  Tag: (request) => adminTag(runtime, request),
  Untag: (request) => adminUntag(runtime, request),
  Inspect: (request) => adminInspect(runtime, request),
  Reload: () => adminReload(reloads()),
});
