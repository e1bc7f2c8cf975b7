import type { Input, PullProgress } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import type { Platform, Progress } from '../../images/index.ts';

const phases = { waiting: 'WAITING', fetching: 'DOWNLOADING', done: 'DONE' } as const;

export const progressMessage = ({ digest, offset, total, phase }: Progress): Input<PullProgress> => ({
  digest,
  offset: BigInt(offset),
  total: BigInt(total),
  phase: phases[phase],
});

/** `os/architecture[/variant]`; undefined for nothing. */
export const platformOf = (text: string, what: string): Platform | undefined => {
  if (text === '') return undefined;
  const [os = '', architecture = '', variant, ...more] = text.split('/');
  if (os === '' || architecture === '' || more.length > 0)
    throw invalid(`${what}: platform ${JSON.stringify(text)} is not os/architecture or os/architecture/variant`);
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
};
