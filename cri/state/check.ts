import { fromJson } from '../../api/json.ts';
import { isId } from '../../base/digest.ts';
import { BerthError } from '../../base/errors.ts';
import { checkFormat } from '../../base/files.ts';
import type { ContainerRecord } from './container.ts';
import type { SandboxRecord } from './sandbox.ts';

type Fields = Readonly<Record<string, unknown>>;
type Test = (value: unknown) => boolean;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText: Test = (value) => typeof value === 'string';
const isNumber: Test = (value) => Number.isSafeInteger(value);
const maybe =
  (test: Test): Test =>
  (value) =>
    value === undefined || test(value);
const isTime: Test = (value) => typeof value === 'string' && /^\d{1,20}$/.test(value);
const listOf =
  (test: Test): Test =>
  (value) =>
    Array.isArray(value) && value.every(test);
const oneOf =
  (...words: readonly string[]): Test =>
  (value) =>
    words.includes(value as string);
const fields =
  (tests: Readonly<Record<string, Test>>): Test =>
  (value) =>
    isObject(value) && wrongField(value, tests) === undefined;

const wrongField = (value: Fields, tests: Readonly<Record<string, Test>>): string | undefined =>
  Object.entries(tests).find(([name, test]) => !test(value[name]))?.[0];

/** One that cannot be read is no record: it must not stop the start. */
const isMessage =
  (name: 'PodSandboxConfig' | 'ContainerConfig'): Test =>
  (value) => {
    try {
      fromJson(name, value);
      return true;
    } catch {
      return false;
    }
  };

const common: Readonly<Record<string, Test>> = {
  id: (value) => typeof value === 'string' && isId(value),
  createdAt: isTime,
};

const sandbox: Readonly<Record<string, Test>> = {
  ...common,
  config: isMessage('PodSandboxConfig'),
  runtimeHandler: isText,
  state: oneOf('creating', 'ready', 'stopping', 'stopped'),
  netns: isText,
  ips: listOf(isText),
  cgroupParents: listOf(isText),
  selinuxLevel: maybe(isText),
  overhead: maybe(isObject),
  resources: maybe(isObject),
};

const states: Readonly<Record<string, Test>> = {
  created: fields({}),
  running: fields({ pid: isNumber, startedAt: isTime }),
  exited: fields({ startedAt: isTime, finishedAt: isTime, exitCode: isNumber, reason: isText, message: isText }),
};

const container: Readonly<Record<string, Test>> = {
  ...common,
  config: isMessage('ContainerConfig'),
  sandboxId: isText,
  imageId: isText,
  imageName: isText,
  imageRef: isText,
  logPath: isText,
  user: fields({ uid: isNumber, gid: isNumber, groups: listOf(isNumber) }),
  stopSignal: isNumber,
  resources: maybe(isObject),
  updated: maybe(isText),
  cgroups: listOf(isText),
  mountImages: (value) => value === undefined || listOf(isText)(value),
  state: (value) => isObject(value) && states[String(value.kind)]?.(value) === true,
};

/** The format of both kinds of records. */
export const recordFormat = 1;

const check = (value: unknown, tests: Readonly<Record<string, Test>>): unknown => {
  if (isObject(value)) checkFormat(value, recordFormat);
  const wrong = isObject(value) ? wrongField(value, tests) : 'the whole';
  if (wrong !== undefined) throw new BerthError('data-loss', `${wrong} is missing or not what this berthd knows`);
  return value;
};

/** Throws LaterFormat, or `data-loss` that names the field, unless `value` is a whole record. */
export const checkSandboxRecord = (value: unknown): SandboxRecord => check(value, sandbox) as SandboxRecord;

/** Throws LaterFormat, or `data-loss` that names the field, unless `value` is a whole record. */
export const checkContainerRecord = (value: unknown): ContainerRecord => check(value, container) as ContainerRecord;
