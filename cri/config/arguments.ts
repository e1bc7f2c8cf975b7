import { parseArgs } from 'node:util';
import { invalid, messageOf } from '../../base/errors.ts';
import type { Overrides } from './load.ts';
import { defaultConfigFile } from './sources.ts';

export type Arguments =
  | { readonly kind: 'run'; readonly file: string | undefined; readonly overrides: Overrides }
  | { readonly kind: 'check' | 'dump'; readonly file: string | undefined; readonly overrides: Overrides }
  | { readonly kind: 'default' | 'help' | 'version' };

const options = {
  config: { type: 'string' },
  root: { type: 'string' },
  state: { type: 'string' },
  listen: { type: 'string' },
  'log-level': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

export const help = `berthd: a container runtime service for Kubernetes nodes

usage: berthd [options]                 run the daemon
       berthd config default            print the configuration file with every key, its default and its meaning
       berthd config check [FILE]       say what is wrong with a configuration, line by line; status 1 when something is
       berthd config dump [FILE]        print the configuration that holds, and where each value comes from

options:
  --config FILE        configuration (TOML); default ${defaultConfigFile}, which may be missing.
                       The *.toml files of the directory beside it (/etc/berth/config.d) stand above it
  --root DIRECTORY     what survives a reboot: images, writable layers, pods (/var/lib/berth)
  --state DIRECTORY    what does not: namespaces, supervisors, sockets (/run/berth)
  --listen ADDRESS     where clients connect to (unix:///run/berth/berth.sock)
  --log-level LEVEL    debug, info, warn or error (info)
  -h, --help           this text
  --version            the version

Options stand above the files. The log goes to stdout, one JSON object a line. SIGHUP has the files read again: what can
change without a restart does, the log says what, and a file with errors changes nothing. SIGTERM and SIGINT stop the
daemon; containers, their logs and their exit codes do not need it, and the next one finds them.
`;

/** berthd's arguments, without the program's name. Throws `invalid-argument`. */
export const parseArguments = (argv: readonly string[]): Arguments => {
  const { values, positionals } = parsed(argv);
  if (values.help === true) return { kind: 'help' };
  if (values.version === true) return { kind: 'version' };
  const { config: file, 'log-level': level, root, state, listen } = values;
  const overrides: Overrides = Object.fromEntries(
    Object.entries({ root, state, listen, log_level: level }).filter(([, value]) => value !== undefined),
  );
  return command(positionals, file, overrides);
};

const command = (positionals: readonly string[], file: string | undefined, overrides: Overrides): Arguments => {
  const [first, verb, target, ...more] = positionals;
  if (first === undefined) return { kind: 'run', file, overrides };
  if (first === 'config' && verb === 'default' && target === undefined) return { kind: 'default' };
  if (first === 'config' && (verb === 'check' || verb === 'dump') && more.length === 0)
    return { kind: verb, file: target ?? file, overrides };
  throw invalid(`not understood: ${positionals.join(' ')}; see berthd --help`);
};

const parsed = (argv: readonly string[]) => {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    // Node explains in several sentences; the first one says what is wrong
    const [first = ''] = messageOf(error).split(/\.?\n|\. /);
    throw invalid(`${first}; see berthd --help`);
  }
};
