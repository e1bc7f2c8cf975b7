import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { verbs } from '../verbs/index.ts';
import { bashScript } from './bash.ts';
import { fishScript } from './fish.ts';
import { commandOf } from './model.ts';
import { allCommands } from './shell.ts';
import { zshScript } from './zsh.ts';

const commands = verbs.map(commandOf);
const run = promisify(execFile);

/** What bash offers at the end of a line. `berth` is a function that answers for the daemon, and tells what it was asked by. */
const offered = async (line: string): Promise<readonly string[]> =>
  withDir(
    async ({ path }) => {
      await writeFile(join(path, 'completion.bash'), bashScript(commands));
      await writeFile(join(path, 'input.tar'), '');
      const script = `
        berth() { echo "$*" >>asked; case $* in
          *"completion --words containers") echo web/nginx; echo web/side; echo 0a1b2c3d4e5f ;;
          *"completion --words pods") echo web ;;
          *"completion --words images") echo docker.io/library/busybox:1.36; echo docker.io/library/busybox:1.37 ;;
        esac; }
        source ./completion.bash
        COMP_LINE=$1 COMP_POINT=\${#1} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
        if [[ $1 == berthd* ]]; then read -ra COMP_WORDS <<<"$1"; [[ $1 == *' ' ]] && COMP_WORDS+=('')
          COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _berthd; else _berth; fi
        printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout, stderr } = await run('bash', ['--norc', '-c', script, 'bash', line], {
        cwd: path,
      });
      if (stderr !== '') throw new Error(stderr);
      return stdout.split('\n').filter(Boolean);
    },
    { unsafeCleanup: true },
  );

test('bash completes a verb, its flags, and the actions of system', async (t) => {
  t.deepEqual(await offered('berth pu'), ['pull', 'push']);
  t.deepEqual(
    await offered('berth '),
    verbs.map(({ name }) => name),
  );
  t.deepEqual(await offered('berth logs --t'), ['--tail', '--timestamps']);
  t.deepEqual(await offered('berth system '), ['df', 'prune', 'check']);
  t.deepEqual(await offered('berth system prune --'), ['--dry-run', '--yes', '--older-than']);
  t.deepEqual(await offered('berth completion f'), ['fish']);
  t.deepEqual(await offered('berth --a'), ['--address']);
  t.deepEqual(await offered('berth dance '), []);
});

test('bash completes names of what is there where the verb takes it, also after flags with values', async (t) => {
  t.deepEqual(await offered('berth exec -i --timeout 5 web/'), ['web/nginx', 'web/side']);
  t.deepEqual(await offered('berth exec web/nginx '), []);
  t.deepEqual(await offered('berth rm web'), ['web/nginx', 'web/side', 'web']);
  t.deepEqual(await offered('berth port-forward '), ['web']);
  t.deepEqual(await offered('berth --address unix:///x stop 0a'), ['0a1b2c3d4e5f']);
});

test('bash completes an image’s name behind its colon, and files and choices where an option wants them', async (t) => {
  t.deepEqual(await offered('berth rmi docker.io/library/busybox:1.3'), ['1.36', '1.37']);
  t.deepEqual(await offered('berth load -i in'), ['input.tar']);
  t.deepEqual(await offered('berth import in'), ['input.tar']);
  t.deepEqual(await offered('berth save --format '), ['oci', 'docker']);
  t.deepEqual(await offered('berth exec --timeout '), []);
});

test('bash completes the options of berthd, and what it does with the configuration', async (t) => {
  t.deepEqual(await offered('berthd '), ['config']);
  t.deepEqual(await offered('berthd config '), ['default', 'check', 'dump']);
  t.deepEqual(await offered('berthd config check in'), ['input.tar']);
  t.deepEqual(await offered('berthd --log-level d'), ['debug']);
  t.deepEqual(await offered('berthd --st'), ['--state']);
  t.deepEqual(await offered('berthd --config in'), ['input.tar']);
  t.deepEqual(await offered('berthd --listen '), []);
});

test('zsh calls the function for names with their kind as its first word', (t) => {
  const lines = zshScript(commands)
    .split('\n')
    .filter((line) => / _berth_objects \w+/.test(line));
  t.true(lines.length > 5);
  for (const line of lines) t.regex(line, /: :(?: |\{ +)_berth_objects (?:containers|pods|images)\b/);
});

test('names are asked of the daemon that the line names', (t) => {
  t.regex(zshScript(commands), /address=\(--address "\$\{\(Q\)opt_args\[--address\]\}"\)[\s\S]*case \$state/);
  for (const script of [zshScript(commands), fishScript(commands)]) {
    t.regex(script, /berth \$address completion --words/);
    t.is(script.match(/completion --words/g)?.length, 1);
  }
});

test('every verb, action and option of the help is in each script', (t) => {
  const scripts = { bash: bashScript(commands), zsh: zshScript(commands), fish: fishScript(commands) };
  for (const [path, { name, flags }] of allCommands(commands)) {
    for (const [shell, text] of Object.entries(scripts)) t.true(text.includes(name), `${shell} ${path}`);
    for (const flag of flags.flatMap(({ names }) => names)) {
      t.true(scripts.bash.includes(flag), `bash ${path} ${flag}`);
      t.true(scripts.zsh.includes(`${flag}[`), `zsh ${path} ${flag}`);
      const word = flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
      t.true(scripts.fish.includes(word), `fish ${path} ${flag}`);
    }
  }
});
