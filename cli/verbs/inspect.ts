import type { InspectResponse } from '../../api/generated/types.ts';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { readDocument, toPlainJson } from '../json.ts';

/** Berth's record with the image's own documents in it. */
export const inspectJson = ({ manifest, config, ...record }: InspectResponse): string => {
  const documents = { manifest: readDocument(manifest) ?? null, config: readDocument(config) ?? null };
  return `${JSON.stringify({ ...(toPlainJson(record) as object), ...documents }, undefined, 2)}\n`;
};

export const inspect: Verb = {
  name: 'inspect',
  usage: 'IMAGE',
  summary: 'all that is known of an image, as JSON',
  options: [],
  run: async (argv, { client, out }) => {
    const [image, more] = parse(argv, {}).positionals;
    if (image === undefined || more !== undefined) throw new UsageError('wants one image');
    out.write(inspectJson(await client.Inspect({ image })));
    return 0;
  },
};
