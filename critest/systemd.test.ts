import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { sourceTree } from './harness/tree.ts';

const unit = await readFile(join(sourceTree, 'systemd/berth.service'), 'utf8');
const directives = unit
  .split('\n')
  .filter((line) => line.includes('='))
  .map((line) => line.split('=')[0] ?? '');

/** systemd.exec(5): what makes a mount namespace, what children inherit, and what Node cannot run under. */
const forbidden =
  /^(Protect\w+|Private\w+|ReadWritePaths|ReadOnlyPaths|InaccessiblePaths|BindPaths|RootDirectory|MountFlags|NoNewPrivileges|SystemCall\w+|Restrict\w+|UMask|CapabilityBoundingSet|MemoryDenyWriteExecute|LockPersonality)$/;

test('the unit has no directive that would keep pods from the host or that containers would inherit', (t) => {
  t.deepEqual(
    directives.filter((name) => forbidden.test(name)),
    [],
  );
});

test('systemd/README.md gives every line of the unit its reason', async (t) => {
  const readme = await readFile(join(sourceTree, 'systemd/README.md'), 'utf8');
  const plain = new Set(['Description', 'Documentation', 'ExecStart', 'WantedBy', 'After']);
  t.deepEqual(
    directives.filter((name) => !plain.has(name) && !readme.includes(`\`${name}`)),
    [],
  );
});
