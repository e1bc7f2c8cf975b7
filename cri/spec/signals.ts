import { invalid } from '../../base/errors.ts';

// signal(7), the numbers that x86, ARM and all but MIPS, Alpha and PA-RISC have.
const ordered =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS';
const numbers: ReadonlyMap<string, number> = new Map([
  ...ordered.split(' ').map((name, index) => [name, index + 1] as const),
  ['IOT', 6],
  ['CLD', 17],
  ['POLL', 29],
]);
// What glibc and musl leave of the kernel's 32..64 after their own use.
const rtMin = 34;
const rtMax = 64;
const terminate = 15;

// CRI's enum Signal by number; 0 is "the runtime's default".
const criOrder =
  'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN';
const criNames: readonly string[] = [
  'SIGNAL_RUNTIME_DEFAULT',
  ...criOrder.split(' ').map((name) => `SIGNAL_SIG${name}`),
  ...Array.from({ length: 15 }, (_, index) => `SIGNAL_SIGRTMINPLUS${index + 1}`),
  ...Array.from({ length: 14 }, (_, index) => `SIGNAL_SIGRTMAXMINUS${14 - index}`),
  'SIGNAL_SIGRTMAX',
];

const realTime = (name: string): number | undefined => {
  const [, base, offset = '0'] = /^(RTMIN(?=\+|$)|RTMAX(?=-|$))(?:[+-](\d{1,2}))?$/.exec(name) ?? [];
  if (base === undefined) return undefined;
  const number = base === 'RTMIN' ? rtMin + Number(offset) : rtMax - Number(offset);
  return number >= rtMin && number <= rtMax ? number : undefined;
};

const decimal = (text: string): number | undefined => {
  const number = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  return number >= 1 && number <= rtMax ? number : undefined;
};

/** "SIGTERM", "TERM", "15", "SIGRTMIN+3", "RTMAX-1" as a number. Anything else is invalid-argument. */
export const signalNumber = (text: string, field: string): number => {
  const name = text.toUpperCase().replace(/^SIG/, '');
  const number = numbers.get(name) ?? realTime(name) ?? decimal(text);
  if (number === undefined) throw invalid(`${field}: ${JSON.stringify(text.slice(0, 40))} is not a signal`);
  return number;
};

/** The number of a CRI Signal enum value; undefined for SIGNAL_RUNTIME_DEFAULT. */
export const criSignal = (value: string | number | undefined): number | undefined => {
  const name = typeof value === 'string' ? value : criNames[value ?? 0];
  if (name === undefined || !criNames.includes(name)) throw invalid(`stop_signal: ${value} is not a signal of CRI`);
  if (name === 'SIGNAL_RUNTIME_DEFAULT') return undefined;
  const plain = name.slice('SIGNAL_'.length).replace('MINPLUS', 'MIN+').replace('MAXMINUS', 'MAX-');
  return signalNumber(plain, 'stop_signal');
};

/** What StopContainer sends first: the request's, else the image's, else SIGTERM. */
export const stopSignal = (request: string | number | undefined, image: string | null | undefined): number =>
  criSignal(request) ?? (image ? signalNumber(image, 'image StopSignal') : terminate);

/** The CRI enum's name for a number, as ContainerStatus.stop_signal shows it. */
export const criSignalName = (number: number): string =>
  criNames.find((name) => name !== 'SIGNAL_RUNTIME_DEFAULT' && criSignal(name) === number) ?? 'SIGNAL_RUNTIME_DEFAULT';
