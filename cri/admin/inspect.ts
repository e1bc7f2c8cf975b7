import type { Input, InspectRequest, InspectResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';

/** All that is known of an image. */
export const adminInspect = async (runtime: Runtime, request: InspectRequest): Promise<Input<InspectResponse>> => {
  if (request.image === '') throw invalid('Inspect: image is empty');
  const { record, stored, names, manifest, config, blobs } = await runtime.images.inspect(request.image);
  return {
    image_id: record.id,
    names: names.map(({ name, target }) => ({ name, target })),
    manifest_digest: stored.manifest,
    size: BigInt(record.size),
    pinned: record.pinned,
    artifact_type: record.artifactType ?? '',
    layers: record.layers.map(({ diffId, digest, size, mediaType }) => ({
      diff_id: diffId,
      digest,
      size: BigInt(size),
      media_type: mediaType,
      kept: blobs.includes(digest),
    })),
    ...(manifest && { manifest }),
    ...(config && { config }),
  };
};
