import type {
  DiskContainer,
  DiskFileSystem,
  DiskImage,
  DiskShare,
  DiskUsageResponse,
} from '../../api/generated/types.ts';
import { plain, shortId, size, table } from '../format.ts';

type Kind = DiskShare['kind'];

/** In the order of the table, with the letter of the bar. */
const kinds: readonly (readonly [Kind, string, string])[] = [
  ['SHARED_LAYERS', 'layers, shared by images', 'L'],
  ['UNIQUE_LAYERS', 'layers, of one image', 'L'],
  ['BLOBS', 'blobs', 'B'],
  ['PARTIAL', 'unfinished downloads', 'P'],
  ['WRITABLE', 'writable layers', 'W'],
  ['VOLUMES', 'volumes of containers', 'V'],
  ['LOGS', 'logs', ''],
  ['REMOVED', 'removed containers, being deleted', 'G'],
  ['GARBAGE', 'being deleted', 'G'],
];

/** On the file system of the containers where that is another one. */
const ofContainers: readonly Kind[] = ['WRITABLE', 'VOLUMES', 'REMOVED'];

const none = { count: 0n, bytes: 0n, inodes: 0n };

export const sharesTable = (shares: readonly DiskShare[]): string => {
  const rows = kinds.map(([kind, name]) => {
    const { count, bytes, inodes } = shares.find((share) => share.kind === kind) ?? none;
    return [name, `${count}`, size(bytes), `${inodes}`];
  });
  const sum = (of: 'bytes' | 'inodes'): bigint => shares.reduce((total, share) => total + share[of], 0n);
  return table(['WHAT', 'COUNT', 'SIZE', 'FILES'], [...rows, ['all', '', size(sum('bytes')), `${sum('inodes')}`]]);
};

const nameOf = ({ names }: DiskImage): string => {
  const [first = '<none>', ...others] = names.filter((name) => !name.includes('@')).concat(names);
  const more = new Set(others).size - (others.includes(first) ? 1 : 0);
  return plain(first.replace(/(@sha256:.{12}).*/, '$1')) + (more > 0 ? ` (+${more})` : '');
};

export const imagesTable = (images: readonly DiskImage[]): string =>
  table(
    ['IMAGE', 'ID', 'OWN', 'SHARED', 'FILES', 'CONTAINERS', ''],
    images
      .toSorted((a, b) => Number(b.unique_bytes - a.unique_bytes))
      .map((image) => [
        nameOf(image),
        shortId(image.id),
        size(image.unique_bytes),
        size(image.shared_bytes),
        `${image.inodes}`,
        `${image.containers.length}`,
        image.pinned ? 'pinned' : '',
      ]),
  );

const bytesOf = (row: DiskContainer): bigint => row.writable_bytes + row.volume_bytes + row.log_bytes;

export const containersTable = (containers: readonly DiskContainer[]): string =>
  table(
    ['CONTAINER', 'NAME', 'POD', 'NAMESPACE', 'WRITABLE', 'VOLUMES', 'LOG', 'FILES'],
    containers
      .toSorted((a, b) => Number(bytesOf(b) - bytesOf(a)))
      .map((row) => [
        shortId(row.id),
        plain(row.name),
        plain(row.pod),
        plain(row.namespace),
        size(row.writable_bytes),
        size(row.volume_bytes),
        size(row.log_bytes),
        `${row.inodes}`,
      ]),
  );

const barWidth = 50;

/** `[LLLBBWW####........]`: a letter a kind, `#` what others have there, `.` what is free. Every kind that is there shows. */
export const diskBar = (system: DiskFileSystem, shares: readonly DiskShare[], width = barWidth): string => {
  const capacity = Number(system.capacity_bytes);
  if (capacity === 0) return '';
  const mine = kinds
    .filter(
      ([kind, , letter]) =>
        letter !== '' && system.uses.includes(ofContainers.includes(kind) ? 'containers' : 'images'),
    )
    .map(([kind, , letter]) => ({ letter, bytes: Number(shares.find((share) => share.kind === kind)?.bytes ?? 0n) }));
  const used = capacity - Number(system.free_bytes);
  const others = Math.max(0, used - mine.reduce((sum, { bytes }) => sum + bytes, 0));
  const cells = (bytes: number): number => (bytes === 0 ? 0 : Math.max(1, Math.round((bytes / capacity) * width)));
  const drawn = [...mine, { letter: '#', bytes: others }]
    .map(({ letter, bytes }) => letter.repeat(cells(bytes)))
    .join('');
  return `[${drawn.slice(0, width).padEnd(width, '.')}]`;
};

const systemLine = (system: DiskFileSystem): string => {
  const inodes = system.inodes === 0n ? '' : `, ${system.free_inodes} of ${system.inodes} files free`;
  return `${system.path}: ${size(system.available_bytes)} of ${size(system.capacity_bytes)} free${inodes} (${system.uses.join(', ')})`;
};

export interface DfOptions {
  readonly verbose: boolean;
  readonly bar: boolean;
}

export const dfText = (answer: DiskUsageResponse, { verbose, bar }: DfOptions): string => {
  const systems = answer.file_systems.flatMap((system) =>
    bar ? [systemLine(system), diskBar(system, answer.shares)] : [systemLine(system)],
  );
  const legend = bar
    ? ['L layers  B blobs  P unfinished  W writable layers  V volumes  G being deleted  # others  . free']
    : [];
  const more = verbose ? [imagesTable(answer.images), containersTable(answer.containers)] : [];
  const prune = `berth system prune would free ${size(answer.reclaimable)}`;
  return [sharesTable(answer.shares), ...more, `${[...systems, ...legend, prune].join('\n')}\n`].join('\n');
};
