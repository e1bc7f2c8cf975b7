import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dir as temporaryDirectory } from 'tmp-promise';
import { findConfig, formatConflist, loadConfig, parseConflist, parseSingle } from './conflist.ts';
import { chooseVersion } from './version.ts';

const text = (value: object): string => JSON.stringify(value);
const base = {
  cniVersion: '1.0.0',
  name: 'net',
  plugins: [{ type: 'bridge', ipam: { type: 'host-local' }, keep: [1, { a: null }] }],
};

const wrong: readonly (readonly [string, object, RegExp])[] = [
  ['without a name', { ...base, name: undefined }, /^f: no name$/],
  ['with a path as its name', { ...base, name: '../x' }, /name "\.\.\/x" is not a network name/],
  ['without plugins', { ...base, plugins: [] }, /no plugins/],
  ['with plugins that are no list', { ...base, plugins: {} }, /plugins is not a list/],
  ['with a plugin without a type', { ...base, plugins: [{}] }, /plugin 1: no type/],
  [
    "with a path as a plugin's type",
    { ...base, plugins: [{ type: '../sh' }] },
    /plugin 1: type "\.\.\/sh" is not a plugin's file name/,
  ],
  ['with a path as an ipam type', { ...base, plugins: [{ type: 'a', ipam: { type: '/bin/sh' } }] }, /plugin 1: ipam/],
  ['with a version that is none', { ...base, cniVersion: '1.0' }, /version "1\.0" is not three numbers/],
  ['from the future', { ...base, cniVersion: '2.0.0' }, /cniVersion 2\.0\.0 is newer than 1\.1\.0/],
  ['with a disableGC that is neither', { ...base, disableGC: 'maybe' }, /disableGC is neither true nor false/],
  [
    'with more plugins than anyone needs',
    { ...base, plugins: Array.from({ length: 65 }, () => ({ type: 'a' })) },
    /65 entries, limit 64/,
  ],
];

for (const [title, value, message] of wrong)
  test(`a conflist ${title} is refused with the file's name`, (t) => {
    t.throws(() => parseConflist(text(value), 'f'), { message });
  });

test('what a plugin has in its configuration is kept as it is, also through the record', (t) => {
  const conflist = parseConflist(text({ ...base, disableCheck: 'True' }), 'f');
  t.true(conflist.disableCheck);
  t.is(conflist.plugins[0]?.ipamType, 'host-local');
  const again = parseConflist(JSON.stringify(formatConflist(conflist)), 'f');
  t.deepEqual(again, { ...conflist, versions: ['1.0.0'] });
  t.deepEqual(again.plugins[0]?.raw, base.plugins[0]);
});

test('a single configuration becomes a list of one, and one with plugins is refused', (t) => {
  t.is(parseSingle(text({ name: 'n', type: 'bridge' }), 'f').cniVersion, '0.1.0');
  t.throws(() => parseSingle(text(base), 'f'), { message: /ends in \.conflist/ });
});

test('the first configuration by name holds, whatever its extension, and other files and folders do not count', async (t) => {
  const { path, cleanup } = await temporaryDirectory({ unsafeCleanup: true });
  t.teardown(cleanup);
  t.is(await findConfig(join(path, 'missing')), undefined);
  await mkdir(join(path, '00-folder.conf'));
  for (const name of ['05-readme.txt', '20-b.conflist', '10-a.json', '10-a.json.bak'])
    await writeFile(join(path, name), '{}');
  t.is(await findConfig(path), join(path, '10-a.json'));
});

test('plugins in files beside the list are appended, unless loadOnlyInlinedPlugins is set', async (t) => {
  const { path, cleanup } = await temporaryDirectory({ unsafeCleanup: true });
  t.teardown(cleanup);
  await mkdir(join(path, 'net'));
  await writeFile(join(path, 'net/20-b.conf'), text({ type: 'second' }));
  await writeFile(join(path, 'net/10-a.conf'), text({ type: 'first' }));
  const types = async (value: object) => {
    await writeFile(join(path, 'x.conflist'), text(value));
    return (await loadConfig(join(path, 'x.conflist'), path)).plugins.map(({ type }) => type);
  };
  t.deepEqual(await types(base), ['bridge', 'first', 'second']);
  t.deepEqual(await types({ ...base, loadOnlyInlinedPlugins: true }), ['bridge']);
  t.deepEqual(await types({ ...base, plugins: undefined }), ['first', 'second']);
  await t.throwsAsync(types({ ...base, plugins: undefined, loadOnlyInlinedPlugins: true }), {
    message: /no plugins list/,
  });
});

test('a configuration of more than 1 MiB is refused before it is read', async (t) => {
  const { path, cleanup } = await temporaryDirectory({ unsafeCleanup: true });
  t.teardown(cleanup);
  await writeFile(join(path, 'x.conflist'), ' '.repeat((1 << 20) + 1));
  await t.throwsAsync(loadConfig(join(path, 'x.conflist'), path), {
    message: /x\.conflist: 1048577 bytes, limit 1048576/,
  });
});

test('the version is the highest that configuration, plugins and Berth know', (t) => {
  t.is(
    chooseVersion(
      ['0.4.0', '1.10.0', '1.1.0', '1.0.0'],
      [
        ['0.4.0', '1.0.0'],
        ['1.0.0', '1.1.0'],
      ],
    ),
    '1.0.0',
  );
  t.is(chooseVersion(['1.1.0'], [['1.0.0']]), undefined);
  t.is(chooseVersion(['0.3.1'], []), '0.3.1');
});
