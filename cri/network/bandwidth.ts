import { invalid } from '../../base/errors.ts';

const binary: Readonly<Record<string, bigint>> = { Ki: 10n, Mi: 20n, Gi: 30n, Ti: 40n, Pi: 50n, Ei: 60n };
const decimal: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const pattern = /^\+?(\d{1,30})(?:\.(\d{0,30}))?(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d{1,2})?$/;

/** Rounds up, as Kubernetes' `Quantity.Value` does. */
const ceilDivide = (value: bigint, by: bigint): bigint => (value + by - 1n) / by;

const exponentOf = (suffix: string): number => decimal[suffix] ?? Number(suffix.slice(1));

/** A Kubernetes resource quantity ("10M", "1.5Gi", "1e6") as a whole number, or undefined when it is none. */
export const parseQuantity = (text: string): bigint | undefined => {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', suffix = ''] = match;
  const digits = BigInt(`${whole}${fraction}`);
  const power = binary[suffix];
  if (power !== undefined) return ceilDivide(digits << power, 10n ** BigInt(fraction.length));
  const exponent = exponentOf(suffix) - fraction.length;
  return exponent >= 0 ? digits * 10n ** BigInt(exponent) : ceilDivide(digits, 10n ** BigInt(-exponent));
};

/** Bits per second, 1k to 1P as Kubernetes allows. */
const rate = (annotations: Readonly<Record<string, string>>, name: string): number | undefined => {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const value = parseQuantity(text);
  if (value === undefined)
    throw invalid(`annotation ${name}: ${JSON.stringify(text.slice(0, 80))} is not a resource quantity like 10M`);
  if (value < 1000n || value > 1_000_000_000_000_000n)
    throw invalid(`annotation ${name}: ${text} is not between 1k and 1P bits per second`);
  return Number(value);
};

/** Bits; the largest that the bandwidth plugin takes, so that the rate alone limits. */
const burst = 0xffff_ffff;

/** The `bandwidth` capability from the two annotations that Kubernetes defines; undefined when neither is there. */
export const bandwidthOf = (
  annotations: Readonly<Record<string, string>>,
): Readonly<Record<string, number>> | undefined => {
  const ingress = rate(annotations, 'kubernetes.io/ingress-bandwidth');
  const egress = rate(annotations, 'kubernetes.io/egress-bandwidth');
  if (ingress === undefined && egress === undefined) return undefined;
  return {
    ...(ingress === undefined ? {} : { ingressRate: ingress, ingressBurst: burst }),
    ...(egress === undefined ? {} : { egressRate: egress, egressBurst: burst }),
  };
};
