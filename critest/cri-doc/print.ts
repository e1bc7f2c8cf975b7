import type { Field, MessageType, MethodType } from '../../api/schema.ts';
import type { NamedTest, Row } from './rows.ts';
import { reachable, rpcs, typeText } from './wire.ts';

const head = `# CRI v1, field by field

What Berth does with each call and each field of CRI v1, and the test that shows it. Made from the descriptor and
docs/cri.tsv by \`scripts/cri-doc.mjs\`; a field without a row fails the build.

A value that Berth cannot serve is refused with an error that names the field. An unknown enum value and text that is not
UTF-8 are refused for every field. Windows fields are refused: this is Linux.

Three things have not been run, since no machine that Berth is developed on has them: limits of huge pages (cgroup v1
and v2), labels on a kernel with SELinux, and what needs CAP_SYS_RESOURCE (a lower oom_score_adj than the daemon's own, more
open files than it may have). Their rows say so.
`;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

const testText = ({ file, title }: NamedTest): string => `${file} › ${cell(title)}`;

const line = (first: readonly string[], row: Row | undefined): string =>
  `| ${[...first, cell(row?.text ?? ''), row?.tests.map(testText).join('<br>') ?? ''].join(' | ')} |`;

const table = (names: readonly string[], lines: readonly string[]): string =>
  [`| ${names.join(' | ')} |`, `|${names.map(() => '---|').join('')}`, ...lines, ''].join('\n');

const rpcTable = (methods: readonly MethodType[], rows: ReadonlyMap<string, Row>): string =>
  table(
    ['RPC', 'what Berth does', 'shown by'],
    methods.map(({ name }) => line([name], rows.get(`RPC ${name}`))),
  );

const fieldLine = (field: Field, rows: ReadonlyMap<string, Row>): string =>
  line([field.name, typeText(field)], rows.get(field.path));

const messageTable = ({ name, fields }: MessageType, rows: ReadonlyMap<string, Row>): string =>
  [
    `### ${name}`,
    '',
    table(
      ['field', 'type', 'what Berth does', 'shown by'],
      fields.map((field) => fieldLine(field, rows)),
    ),
  ].join('\n');

const served = (method: MethodType, rows: ReadonlyMap<string, Row>): boolean =>
  !rows.get(`RPC ${method.name}`)?.text.startsWith('Answers UNIMPLEMENTED');

/** docs/cri.md. */
export const printDocument = (list: readonly Row[]): string => {
  const rows = new Map(list.map((row) => [row.name, row]));
  const of = (service: string) => rpcs.filter(({ path }) => path.includes(`.${service}/`));
  const first = reachable(rpcs.filter((method) => served(method, rows)));
  const known = new Set(first);
  const rest = reachable(rpcs).filter((type) => !known.has(type));
  const tables = (types: readonly MessageType[]) =>
    types.filter(({ fields }) => fields.length > 0).map((type) => messageTable(type, rows));
  return [
    head,
    '## RuntimeService\n',
    rpcTable(of('RuntimeService'), rows),
    '## ImageService\n',
    rpcTable(of('ImageService'), rows),
    '## Messages of the calls that are served\n',
    ...tables(first),
    ...(rest.length === 0 ? [] : ['## Messages of the calls that are not served yet\n', ...tables(rest)]),
  ].join('\n');
};
