import { invalid } from '../../base/errors.ts';
import type { OciMount } from '../../shim/oci.ts';
import { overlayOptions } from '../../shim/overlay-options.ts';
import { accessOptions, propagationModes as modes } from './mount-options.ts';
import type { ImageConfig, Mount } from './types.ts';
import { cleanPath, enumName, isUnder, plainText } from './values.ts';

/** Whether the mount shows an image (KEP-4639) and no path of the host. */
export const isImageMount = ({ image, host_path }: Mount): boolean =>
  image !== undefined && !(image.image === '' && host_path);

/** What stands before an error about it; the kubelet knows the last word (cri-api, pkg/errors). */
const whatOf = (mount: Mount): string => `mount ${mount.container_path}: ImageVolumeMountFailed`;

/** Refuses what the request may not ask of an image; gives what stands before an error about the mount. */
export const checkImageMount = (mount: Mount): string => {
  const what = whatOf(mount);
  if (!mount.image?.image) throw invalid(`${what}: image.image is empty`);
  if (mount.host_path) throw invalid(`${what}: host_path and image exclude each other`);
  if (!mount.readonly) throw invalid(`${what}: readonly is false: an image can only be mounted read-only`);
  plainText(mount.image_sub_path ?? '', `${what}: image_sub_path`);
  // Nothing of the host is ever mounted below it, so that receiving all of that is the same as private.
  if (enumName(mount.propagation, modes, `${what}: propagation`) === 'PROPAGATION_BIDIRECTIONAL')
    throw invalid(`${what}: propagation: PROPAGATION_BIDIRECTIONAL: an image is mounted nowhere on the host`);
  return what;
};

/** `lowers`: the image's layers, topmost first. */
export const imageMount = (mount: Mount, destination: string, lowers: readonly string[]): OciMount => {
  checkImageMount(mount);
  const directory = mount.image_sub_path ?? '';
  const options = accessOptions({ ...mount, recursive_read_only: false });
  return {
    destination,
    type: 'overlay',
    source: 'overlay',
    options: [...options, ...overlayOptions({ lowers, directory })],
  };
};

/** A directory of the container's own, mounted where its image has a VOLUME. */
export interface Volume {
  readonly path: string;
  readonly source: string;
}

const mostVolumes = 100;
const own = ['/proc', '/sys', '/dev', '/etc/hostname', '/etc/hosts', '/etc/resolv.conf'];

/**
 * The image's VOLUMEs that get a directory of their own, clean and each once: not where the request mounts something, nor
 * where every container has what Berth mounts (images for systemd name /sys/fs/cgroup).
 */
export const volumePaths = ({ Volumes }: ImageConfig, mounts: readonly Mount[]): readonly string[] => {
  const paths = new Set(Object.keys(Volumes ?? {}).map((path) => cleanPath(path, 'VOLUME of the image')));
  if (paths.has('/')) throw invalid('VOLUME of the image: "/" would hide the image');
  const asked = new Set(mounts.map(({ container_path }) => cleanPath(container_path ?? '', 'container_path')));
  const wanted = [...paths].filter((path) => !asked.has(path) && !own.some((place) => isUnder(place, path)));
  if (wanted.length > mostVolumes)
    throw invalid(`VOLUME of the image: ${wanted.length} of them, at most ${mostVolumes} are served`);
  return wanted.toSorted();
};

export const volumeMount = ({ path, source }: Volume): OciMount => ({
  destination: path,
  type: 'bind',
  source,
  options: ['rbind', 'rprivate', 'rw'],
});
