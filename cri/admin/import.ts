import type { ImportRequest, ImportResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';

/** Takes in an OCI image layout from a directory of this machine. */
export const adminImport = async (
  runtime: Runtime,
  request: ImportRequest,
  call: { readonly signal: AbortSignal },
): Promise<ImportResponse> => {
  if (!request.path.startsWith('/')) throw invalid(`Import: path ${JSON.stringify(request.path)} is not absolute`);
  const name = request.name === '' ? undefined : request.name;
  return { image_ids: [await runtime.images.importLayout(request.path, name, call.signal)] };
};
