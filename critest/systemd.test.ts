import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { defaultAddress } from '../api/address.ts';
import { sourceTree } from './harness/tree.ts';

const directory = join(sourceTree, 'systemd');
const units = (await readdir(directory)).filter((name) => /\.(service|socket)$/.test(name));

const directivesOf = async (unit: string): Promise<readonly string[]> =>
  (await readFile(join(directory, unit), 'utf8'))
    .split('\n')
    .filter((line) => line.includes('='))
    .map((line) => line.split('=')[0] ?? '');

/** systemd.exec(5): what makes a mount namespace, what children inherit, and what Node cannot run under. */
const forbidden =
  /^(Protect\w+|Private\w+|ReadWritePaths|ReadOnlyPaths|InaccessiblePaths|ExecPaths|NoExecPaths|Bind\w*Paths|TemporaryFileSystem|Root(Directory|Image)\w*|Mount\w+|ExtensionDirectories|DynamicUser|JoinsNamespaceOf|NetworkNamespacePath|IPCNamespacePath|NoNewPrivileges|SystemCall\w+|Restrict\w+|UMask|CapabilityBoundingSet|AmbientCapabilities|SecureBits|User|Group|MemoryDenyWriteExecute|LockPersonality|KeyringMode|CPUSchedulingPolicy|Nice|CPUAffinity)$/;

test('no unit has a directive that would keep pods from the host or that containers would inherit', async (t) => {
  t.true(units.length >= 4);
  for (const unit of units)
    t.deepEqual(
      (await directivesOf(unit)).filter((name) => forbidden.test(name)),
      [],
      unit,
    );
});

test('the list of forbidden directives has those that are known to break pods', (t) => {
  const known = [
    'ProtectSystem ProtectHome PrivateTmp PrivateDevices ReadWritePaths NoNewPrivileges SystemCallFilter',
    'RestrictNamespaces UMask MemoryDenyWriteExecute MountFlags ProtectKernelTunables TemporaryFileSystem',
  ].flatMap((line) => line.split(' '));
  t.deepEqual(
    known.filter((name) => !forbidden.test(name)),
    [],
  );
  t.false(
    ['Type', 'OOMPolicy', 'KillMode', 'Restart', 'RestartSec', 'SocketMode'].some((name) => forbidden.test(name)),
  );
});

test('the service is what a runtime needs of systemd', async (t) => {
  const text = await readFile(join(directory, 'berth.service'), 'utf8');
  const lines = text.split('\n');
  for (const line of [
    'Type=notify',
    'NotifyAccess=all',
    'WatchdogSignal=SIGKILL',
    'KillMode=process',
    'Delegate=yes',
    'OOMPolicy=continue',
    'OOMScoreAdjust=-999',
    'Restart=always',
  ])
    t.true(lines.includes(line), line);
  t.regex(text, /^WatchdogSec=[1-9]/m);
});

test('systemd/README.md gives every line of every unit its reason', async (t) => {
  const readme = await readFile(join(directory, 'README.md'), 'utf8');
  for (const unit of units) {
    const [, section = ''] =
      new RegExp(`\\n## ${unit.replace('.', '\\.')}\\n([\\s\\S]*?)(?=\\n## |$)`).exec(readme) ?? [];
    const rows = section.split('\n').filter((line) => line.startsWith('| `'));
    const lines = await directivesOf(unit);
    const without = lines.filter((name) => !rows.some((row) => row.split(' | ')[0]?.includes(`\`${name}=`)));
    t.deepEqual(without, [], unit);
    const named = rows.flatMap((row) => [...(row.split(' | ')[0] ?? '').matchAll(/`(\w+)=/g)].map(([, name]) => name));
    t.deepEqual(
      named.filter((name) => name !== undefined && !lines.includes(name)),
      [],
      `${unit}: rows without a line`,
    );
  }
});

test("kubelet's drop-in keeps kubeadm's command line, and adds the endpoint that berth.socket and crictl have, the gate, and where Berth is counted", async (t) => {
  const read = (name: string): Promise<string> => readFile(join(directory, name), 'utf8');
  const [socket, crictl, kubelet] = await Promise.all(['berth.socket', 'crictl.yaml', 'kubelet.conf'].map(read));
  const path = /^ListenStream=(.+)$/m.exec(socket ?? '')?.[1];
  t.is(`unix://${path}`, defaultAddress);
  t.deepEqual(
    [...(crictl ?? '').matchAll(/-endpoint: (.+)$/gm)].map(([, address]) => address),
    [defaultAddress, defaultAddress],
  );
  t.deepEqual(/^Environment="BERTH_KUBELET_ARGS=(.+)"$/m.exec(kubelet ?? '')?.[1]?.split(' '), [
    `--container-runtime-endpoint=${defaultAddress}`,
    '--feature-gates=PodAndContainerStatsFromCRI=true',
    '--runtime-cgroups=/system.slice/berth.service',
  ]);
  const commands = (kubelet ?? '').split('\n').filter((line) => line.startsWith('ExecStart='));
  const variables = ['KUBECONFIG', 'CONFIG', 'KUBEADM', 'EXTRA'].map((name) => `$KUBELET_${name}_ARGS`);
  t.deepEqual(commands, ['ExecStart=', `ExecStart=/usr/bin/kubelet ${variables.join(' ')} $BERTH_KUBELET_ARGS`]);
});
