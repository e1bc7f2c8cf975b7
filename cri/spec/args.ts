import { invalid } from '../../base/errors.ts';
import type { ContainerConfig, ImageConfig } from './types.ts';
import { cleanPath } from './values.ts';

const list = (values: readonly string[] | null | undefined): readonly string[] => values ?? [];

// A command replaces the image's Entrypoint and its Cmd; args alone replace the Cmd only.
// https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/
const chosen = (config: ContainerConfig, image: ImageConfig): readonly string[] => {
  const command = list(config.command);
  const args = list(config.args);
  if (command.length > 0) return [...command, ...args];
  return [...list(image.Entrypoint), ...(args.length > 0 ? args : list(image.Cmd))];
};

/** The container's argv. Errors: invalid-argument when there is nothing to run, or an argument holds a NUL. */
export const processArgs = (config: ContainerConfig, image: ImageConfig): readonly string[] => {
  const args = chosen(config, image);
  if (args.length === 0) throw invalid('command: neither the request nor the image (Entrypoint, Cmd) says what to run');
  if (args[0] === '') throw invalid('command: the program to run is an empty string');
  const bad = args.findIndex((argument) => argument.includes('\0'));
  if (bad >= 0) throw invalid(`command: argument ${bad} holds a NUL`);
  return args;
};

/** The directory that the process starts in; the image's is taken when the request names none. */
export const workingDirectory = (config: ContainerConfig, image: ImageConfig): string =>
  cleanPath(config.working_dir || image.WorkingDir || '/', 'working_dir');
