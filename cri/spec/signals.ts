import { Signal } from '../../api/generated/types.ts';
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

const criNames = Object.keys(Signal).filter((name): name is Signal => name in Signal);

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

// SIGNAL_SIGRTMINPLUS3 is SIGRTMIN+3. Undefined for the value that leaves the choice to the runtime.
const numberOf = (name: Signal): number | undefined =>
  name === 'SIGNAL_RUNTIME_DEFAULT'
    ? undefined
    : signalNumber(name.slice('SIGNAL_'.length).replace('MINPLUS', 'MIN+').replace('MAXMINUS', 'MAX-'), 'stop_signal');

/** The number of a CRI Signal; undefined for SIGNAL_RUNTIME_DEFAULT. What the wire did not know comes as its number. */
export const criSignal = (value: Signal | number | undefined): number | undefined => {
  const name = criNames.find((known) => known === value || Signal[known] === (value ?? 0));
  if (name === undefined) throw invalid(`stop_signal: ${value} is not a signal of CRI`);
  return numberOf(name);
};

/** What StopContainer sends first: the request's, else the image's, else SIGTERM. */
export const stopSignal = (request: Signal | number | undefined, image: string | null | undefined): number =>
  criSignal(request) ?? (image ? signalNumber(image, 'image StopSignal') : terminate);

/** The CRI name of a number, for ContainerStatus.stop_signal. */
export const stopSignalName = (number: number): Signal =>
  criNames.find((name) => numberOf(name) === number) ?? 'SIGNAL_RUNTIME_DEFAULT';
