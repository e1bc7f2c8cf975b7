import type { TagRequest, TagResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import { formatReference, parseReference } from '../../images/reference.ts';
import type { Runtime } from '../runtime.ts';

/** Another name for an image that is here. */
export const adminTag = async (runtime: Runtime, { source, target }: TagRequest): Promise<TagResponse> => {
  if (source === '' || target === '') throw invalid(`Tag: ${source === '' ? 'source' : 'target'} is empty`);
  await runtime.images.tag(source, target);
  return { name: formatReference(parseReference(target)) };
};
