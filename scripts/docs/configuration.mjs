// docs/configuration.md from the schema.
import { toml } from '../../build/cri/config/print.js';
import { keys, lastOf, tableOf, tables } from '../../build/cri/config/schema.js';
import { limitsOf, typeOf } from './words.mjs';

/** What is no code in a cell of a table. */
const cell = (text) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

const row = (key) => {
  const words = [typeOf(key), limitsOf(key)].filter(Boolean).join(', ');
  const meaning = cell(key.comment.join(' '));
  return `| \`${lastOf(key.name)}\` | \`${toml(key.default)}\` | ${cell(words)} | ${key.reload ? 'reload' : '**restart**'} | ${meaning} |`;
};

const section = ([name, comment]) =>
  `## ${name === '' ? 'At the top' : `[${name}]`}

${comment === '' ? '' : `${comment}\n\n`}| key | default | value | takes | meaning |
|---|---|---|---|---|
${keys
  .filter((key) => tableOf(key.name) === name)
  .map(row)
  .join('\n')}
`;

const head = `# Configuration

This page is made from cri/config/schema.ts by \`bin/node scripts/docs.mjs\`.

berthd reads \`/etc/berth/config.toml\` (TOML 1.0), or what \`--config\` names, and over it each \`*.toml\` of the directory beside it
that is called as the file without \`.toml\` and with \`.d\` (\`/etc/berth/config.d\`), in the order of their names. What else
lies there is not read, and told: by \`config check\`, and in the log at each start and reload. A key that stands in
several files has the last one's value; lists are not joined. \`--root\`, \`--state\`, \`--listen\` and \`--log-level\` stand above all
files. No file need be there: every key has a default. A key that is not known, and a value that does not fit, is an error.

| command | does |
|---|---|
| \`berthd config check [FILE]\` | tells each error of the files with its line, and for an unknown key the one that was probably meant. Status 1 when there is one |
| \`berthd config dump [FILE]\` | prints what holds with these files and flags, as TOML, and after each value where it comes from |
| \`berthd config default\` | prints a file with every key, its default and its meaning |
| \`berth reload\` | has the running daemon read its files anew, and shows what has changed |

## Changes while berthd runs

SIGHUP (\`systemctl reload berth\`) and \`berth reload\` have the files read anew. Keys that say "reload" take their new values at once and
all together; calls that are under way end with those that they began with, and containers that are there stay as they are. The log
has a line for each key with the old value and the new one. Keys that say "restart" keep their value until \`systemctl restart berth\`,
which disturbs no container; the log names them. With an error in any of the files nothing changes, and the log has the error with
file, line and key; \`berth reload\` shows it and ends with 1.

Files that a key names are not part of the configuration: hosts.toml is read for each pull, credentials, certificates and keys when they
have changed, a seccomp profile for each container, and the policy of images at a reload.

No key holds a secret: those are in files of their own, so that this one may be shown and logged.

`;

export const reference = () => `${head}${Object.entries(tables).map(section).join('\n')}`;
