import type { Digest } from '../../base/digest.ts';
import { BerthError, messageOf } from '../../base/errors.ts';
import { markedFailure } from '../pull/failure.ts';
import { formatReference, type Reference } from '../reference.ts';
import type { Document, Source } from '../source.ts';
import type { Helper } from '../types.ts';
import { problemOfName } from './identity.ts';
import { isSignedBy } from './keys.ts';
import type { Policy, Requirement } from './policy.ts';
import { problemByProgram } from './program.ts';
import { requirementsFor } from './scope.ts';
import { isPassing, mostSignatures, type Signature, signaturesOf } from './signatures.ts';

export interface VerifyJob {
  readonly source: Source;
  readonly reference: Reference;
  /** From what the name stands for to the manifest of this platform. */
  readonly documents: readonly [Document, ...Document[]];
  readonly signal: AbortSignal;
  /** What to do about a refusal. */
  readonly advice?: string;
}

/**
 * Checks an image against the policy, before anything of it but its manifests is fetched. What cannot be checked is refused.
 * Errors: permission-denied, marked as SignatureValidationFailed; `unavailable` and `cancelled` as they come.
 */
export const verifyImage = async (policy: Policy, helper: Helper, job: VerifyJob): Promise<void> => {
  const { scope, requirements } = requirementsFor(policy, job.reference);
  for (const requirement of requirements) {
    const problem = await problemWith(requirement, helper, job);
    if (problem === undefined) continue;
    const advice = job.advice === undefined ? '' : ` (${job.advice})`;
    throw refused(`the policy of ${JSON.stringify(scope)} refuses it: ${problem}${advice}`);
  }
};

const refused = (reason: string): BerthError =>
  markedFailure('SignatureValidationFailed', new BerthError('permission-denied', reason));

const problemWith = async (requirement: Requirement, helper: Helper, job: VerifyJob): Promise<string | undefined> => {
  switch (requirement.kind) {
    case 'accept':
      return undefined;
    case 'reject':
      return 'nothing of it may come in';
    case 'program': {
      const { reference, documents, signal } = job;
      const [document] = documents;
      const asked = { name: formatReference(reference), digest: document.digest, document };
      return problemByProgram(helper, requirement, asked, signal);
    }
    case 'cosign':
      return problemWithSignatures(requirement, job);
  }
};

/** An index may be signed, or the manifest in it that this machine takes. */
const digestsOf = ({ documents }: VerifyJob): readonly Digest[] => [
  ...new Set([documents[0].digest, documents.at(-1)?.digest ?? documents[0].digest]),
];

type Cosign = Extract<Requirement, { kind: 'cosign' }>;

const mostReasons = 5;

/** One good signature is enough; bad ones beside it are anyone's who may push. */
const problemWithSignatures = async (requirement: Cosign, job: VerifyJob): Promise<string | undefined> => {
  const reasons: string[] = [];
  const digests = digestsOf(job);
  for (const digest of digests)
    try {
      for await (const signature of signaturesOf(job.source, digest, job.signal)) {
        const problem =
          'fault' in signature ? signature.fault : problemOf(signature, requirement, job.reference, digest);
        if (problem === undefined) return undefined;
        reasons.push(problem);
        if (reasons.length >= mostSignatures) throw new BerthError('resource-exhausted', 'there are too many to go on');
      }
    } catch (error) {
      if (isPassing(error)) throw error;
      reasons.push(messageOf(error));
    }
  if (reasons.length === 0) return `${digests[0]} has no signature`;
  return `no signature of ${digests[0]} is good: ${[...new Set(reasons)].slice(0, mostReasons).join('; ')}`;
};

/** The signature first: what is not signed by a known key is not read. */
const problemOf = (
  { signed, signature, claim: read }: Signature,
  { keys, identity }: Cosign,
  reference: Reference,
  digest: Digest,
): string | undefined => {
  if (!keys.some((key) => isSignedBy(key, signed, signature))) return 'it was not made by a key of the policy';
  try {
    const claim = read();
    if (!claim.digests.includes(digest)) return `it is for ${claim.digests[0] ?? 'no digest'}`;
    return problemOfName(claim.name, identity, reference);
  } catch (error) {
    return messageOf(error);
  }
};
