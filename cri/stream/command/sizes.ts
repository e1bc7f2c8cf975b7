import type { TerminalSize } from '../../../shim/streams.ts';

/** Longer than any size; what does not end by then is none. */
const longest = 1024;
const most = 0xffff;

/** Reads a resize stream, `{"Width":80,"Height":24}` again and again. After something else it reads nothing more. */
export class Sizes {
  #text = '';
  #broken = false;

  /** The sizes that this piece completes. */
  push(bytes: Buffer): TerminalSize[] {
    if (this.#broken) return [];
    const parts = (this.#text + bytes.toString('latin1')).split('}');
    this.#text = parts.pop() ?? '';
    const sizes = parts.map((part) => sizeOf(`${part}}`));
    this.#broken = this.#text.length > longest || sizes.includes(undefined);
    // a terminal without rows or columns is what a client without a terminal says
    return sizes.filter((size) => size !== undefined).filter(({ columns, rows }) => columns > 0 && rows > 0);
  }
}

const sizeOf = (text: string): TerminalSize | undefined => {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return undefined;
    const fields = new Map(Object.entries(value).map(([name, field]) => [name.toLowerCase(), field as unknown]));
    const [columns, rows] = [cells(fields.get('width')), cells(fields.get('height'))];
    return columns === undefined || rows === undefined ? undefined : { columns, rows };
  } catch {
    return undefined;
  }
};

const cells = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most ? value : undefined;
