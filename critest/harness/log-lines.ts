export interface LogLine {
  /** As it stands in the file, RFC3339 with nanoseconds. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  readonly tag: 'P' | 'F';
  readonly text: string;
}

const pattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF]) (.*)$/s;

/** The lines of a CRI log file; a line in another format, and a last line without its newline, are errors. */
export const parseLog = (content: string): LogLine[] => {
  if (content === '') return [];
  if (!content.endsWith('\n')) throw new Error(`the log's last line is not closed: ${content.slice(-80)}`);
  return content.slice(0, -1).split('\n').map(parseLine);
};

const parseLine = (line: string): LogLine => {
  const match = pattern.exec(line);
  if (match === null) throw new Error(`not a line of a CRI log: ${JSON.stringify(line.slice(0, 120))}`);
  const [, time = '', stream, tag, text = ''] = match;
  return { time, stream: stream as 'stdout' | 'stderr', tag: tag as 'P' | 'F', text };
};

/** What a stream wrote, partial lines joined. */
export const logText = (lines: readonly LogLine[], stream?: 'stdout' | 'stderr'): string =>
  lines
    .filter((line) => stream === undefined || line.stream === stream)
    .map((line) => line.text + (line.tag === 'F' ? '\n' : ''))
    .join('');
