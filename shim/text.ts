// Bytes in an OCI config.json: JSON holds text, argv and environment hold bytes. A byte that is no part of valid UTF-8
// stands as the lone surrogate U+DC80 + (byte - 0x80), as in Python's PEP 383; JSON writes it as an escape, and it comes back.
const escapeBase = 0xdc00;

const sequenceLength = (bytes: Uint8Array, at: number): number => {
  const first = bytes[at] ?? 0;
  const wanted = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  return wanted > 0 && at + wanted <= bytes.length ? wanted : 0;
};

/** Text for any bytes; `bytesOfText` gives them back. */
export const textOfBytes = (bytes: Uint8Array): string => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    try {
      if (length === 0) throw new TypeError('not UTF-8');
      text += decoder.decode(bytes.subarray(at, at + length));
      at += length;
    } catch {
      text += String.fromCharCode(escapeBase + (bytes[at] ?? 0));
      at += 1;
    }
  }
  return text;
};

/** The bytes of a text that may hold escaped bytes. */
export const bytesOfText = (text: string): Buffer => {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const escaped = code >= escapeBase + 0x80 && code <= escapeBase + 0xff;
    parts.push(escaped ? Buffer.of(code - escapeBase) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
};
