/** What JSON.stringify takes: 64-bit numbers as numbers where they are exact, else as text; bytes in base64. */
export const toPlainJson = (value: unknown): unknown => {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(toPlainJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toPlainJson(item)]));
};

/** A document of an image that is shown as it is; undefined when it is not kept, or is no JSON. */
export const readDocument = (bytes: Uint8Array): unknown => {
  try {
    return bytes.length === 0 ? undefined : JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
};
