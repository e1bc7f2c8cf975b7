/** What may stand in an error of a connection or in what a registry answers, and is nobody's business in a log. */
const secrets: readonly (readonly [RegExp, string])[] = [
  // user:password@ of a URL
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#@]+@/gi, '$1…@'],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/-]{8,}=*/gi, '$1 …'],
  // JSON Web Tokens wherever they stand
  [/\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}/g, '…'],
  // signed URLs of storage
  [/([?&][A-Za-z0-9_.-]+=)[^&\s"')]+/g, '$1…'],
  [/\b(password|passwd|secret|token|refresh_token|access_token)(["']?\s*[:=]\s*["']?)[^\s"'&,;)]+/gi, '$1$2…'],
];

export const redacted = (text: string): string =>
  secrets.reduce((rest, [pattern, instead]) => rest.replaceAll(pattern, instead), text);
