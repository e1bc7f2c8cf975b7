import type { Digest } from '../../base/digest.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import type { Document } from '../source.ts';
import type { Helper } from '../types.ts';
import type { Requirement } from './policy.ts';

type Program = Extract<Requirement, { kind: 'program' }>;

const descriptorType = 'application/vnd.oci.descriptor.v1+json';
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface Asked {
  /** Normalised. */
  readonly name: string;
  readonly digest: Digest;
  /** What the name stands for. */
  readonly document: Document;
}

/**
 * Runs a verifier as containerd runs those of its `bindir`: `-name NAME -digest DIGEST -stdin-media-type TYPE`, with the
 * image's descriptor on stdin. Undefined when it ends with 0, else why the image is refused: also when it is not there,
 * cannot be run or does not end.
 */
export const problemByProgram = async (
  helper: Helper,
  program: Program,
  { name, digest, document }: Asked,
  signal: AbortSignal,
): Promise<string | undefined> => {
  const descriptor = { mediaType: document.mediaType, digest, size: document.bytes.length };
  try {
    const {
      code,
      signal: killed,
      stdout,
    } = await helper.run({
      argv: [program.path, ...program.args, '-name', name, '-digest', digest, '-stdin-media-type', descriptorType],
      env: { PATH: path, HOME: '/root' },
      stdin: Buffer.from(`${JSON.stringify(descriptor)}\n`),
      signal,
      timeoutMs: program.timeoutMs,
      name: 'image verifier',
    });
    if (code === 0 && killed === 0) return undefined;
    const said = plain(stdout);
    return `${program.path}: ${killed === 0 ? `exit ${code}` : `signal ${killed}`}${said === '' ? '' : `: ${said}`}`;
  } catch (error) {
    if (signal.aborted) throw error;
    if (codeOf(error) === 'deadline-exceeded') return `${program.path}: not done in ${program.timeoutMs / 1000} s`;
    return `${program.path}: cannot be run: ${messageOf(error)}`;
  }
};

/** It reaches logs and events. */
const plain = (bytes: Buffer): string =>
  bytes
    .subarray(0, 500)
    .toString('utf8')
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
    .trim();
