import type { CheckProgress, CheckRequest, Input, Finding as WireFinding } from '../../api/generated/types.ts';
import type { Finding } from '../../images/check.ts';
import type { Runtime } from '../runtime.ts';

const kinds = {
  blob: 'BLOB',
  layer: 'LAYER',
  fixup: 'FIXUP',
  image: 'IMAGE',
  name: 'NAME',
  lease: 'LEASE',
  orphan: 'ORPHAN',
} as const;

/** Reads everything that is kept of images, tells how far it is, and of each thing that is wrong. */
export async function* adminCheck(
  runtime: Runtime,
  { repair }: CheckRequest,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<Input<CheckProgress>> {
  for await (const { offset, total, subject, finding } of runtime.images.check({ repair, signal })) {
    const progress = { offset: BigInt(offset), total: BigInt(total), subject };
    yield finding === undefined ? progress : { ...progress, finding: toWire(finding) };
  }
  yield { done: true };
}

const toWire = ({ kind, owners, containers, ...rest }: Finding): Input<WireFinding> => ({
  ...rest,
  kind: kinds[kind],
  owners: [...owners],
  containers: [...containers],
});
