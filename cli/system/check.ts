import type { CheckProgress, Finding } from '../../api/generated/types.ts';
import { BerthError } from '../../base/errors.ts';
import type { Context } from '../context.ts';
import { plain, shortId, size, table } from '../format.ts';

const kinds: Readonly<Record<Finding['kind'], string>> = {
  BLOB: 'blob',
  LAYER: 'layer',
  FIXUP: 'fix-up layer',
  IMAGE: 'image',
  NAME: 'name',
  LEASE: 'lease',
  ORPHAN: 'file',
};

/** A digest is cut only in a table of short ids: here it is what one looks for. */
export const findingsTable = (findings: readonly Finding[]): string =>
  table(
    ['WHAT', 'WHICH', 'IMAGES', 'CONTAINERS', '', 'PROBLEM'],
    findings.map(({ kind, subject, owners, containers, repaired, problem }) => [
      kinds[kind],
      plain(subject),
      owners.map((name) => plain(name.replace(/(@sha256:.{12}).*/, '$1'))).join(', ') || '-',
      containers.map(shortId).join(', ') || '-',
      repaired ? 'dropped' : '',
      plain(problem),
    ]),
  );

/** Checks, shows what is wrong, and gives the exit code: 1 while something is wrong. */
export const check = async (repair: boolean, { client, out, signal }: Context): Promise<number> => {
  const findings: Finding[] = [];
  let last: CheckProgress | undefined;
  for await (const event of client.Check({ repair }, { signal })) {
    if (event.finding !== undefined) findings.push(event.finding);
    if (out.tty) out.write(`\r\u001b[2K${event.done ? '' : progress(event)}`);
    if (!event.done) last = event;
    else return ended(findings, last, out);
  }
  throw new BerthError('internal', 'check: the daemon ended before it was through');
};

const progress = ({ offset, total, subject }: CheckProgress): string =>
  `checked ${size(offset)} of ${size(total)}  ${shortId(subject)}`;

const ended = (findings: readonly Finding[], last: CheckProgress | undefined, out: Context['out']): number => {
  if (findings.length > 0) out.write(findingsTable(findings));
  const left = findings.filter(({ repaired }) => !repaired).length;
  const dropped = findings.length - left;
  out.write(
    `${size(last?.total ?? 0n)} checked: ${left === 0 ? 'nothing is wrong' : `${left} wrong`}${dropped === 0 ? '' : `, ${dropped} dropped: pull those images again`}\n`,
  );
  return left === 0 ? 0 : 1;
};
