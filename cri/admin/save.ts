import type { Input, SaveRequest, SaveResponse } from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';

/** Gives images as one archive. */
export async function* adminSave(
  runtime: Runtime,
  { images, format }: SaveRequest,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<Input<SaveResponse>> {
  const wanted = format === 'FORMAT_DOCKER' ? 'docker' : 'oci';
  for await (const data of runtime.images.save(images, wanted, signal)) yield { data };
}
