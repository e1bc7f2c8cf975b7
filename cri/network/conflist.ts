import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { orMissing, within } from '../../base/errors.ts';
import { namesIn, readLimited } from '../../base/files.ts';
import {
  arrayAt,
  asObject,
  booleanAt,
  type JsonObject,
  objectAt,
  parseJson,
  stringAt,
  stringsAt,
  wrong,
} from './json.ts';
import { chooseVersion, newestVersion, parseVersion } from './version.ts';

export interface PluginConf {
  readonly type: string;
  /** The plugin that this one delegates address management to, by convention `ipam.type`. */
  readonly ipamType: string | undefined;
  readonly capabilities: readonly string[];
  /** What the plugin gets, but for what the runtime adds. */
  readonly raw: JsonObject;
}

/** A network configuration (CNI spec 1.1, section 1). */
export interface Conflist {
  readonly name: string;
  /** The version in use: the highest of `versions` that Berth knows, until the plugins have been asked. */
  readonly cniVersion: string;
  readonly versions: readonly string[];
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  readonly plugins: readonly PluginConf[];
  /** Path of the file. */
  readonly source: string;
}

const sizeLimit = 1 << 20;
const pluginLimit = 64;
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

const checkedType = (type: string, where: string): string => {
  if (type === '') throw wrong(where, 'no type');
  if (!namePattern.test(type)) throw wrong(where, `type ${JSON.stringify(type)} is not a plugin's file name`);
  return type;
};

const capabilityNames = (raw: JsonObject, where: string): readonly string[] => {
  const capabilities = objectAt(raw, 'capabilities', where) ?? {};
  return Object.keys(capabilities).filter((name) => booleanAt(capabilities, name, `${where}: capabilities`));
};

const parsePlugin = (value: JsonObject, where: string): PluginConf => {
  const type = checkedType(stringAt(value, 'type', where), where);
  const ipam = stringAt(objectAt(value, 'ipam', where) ?? {}, 'type', `${where}: ipam`);
  return {
    type,
    ipamType: ipam === '' ? undefined : checkedType(ipam, `${where}: ipam`),
    capabilities: capabilityNames(value, where),
    raw: value,
  };
};

const parseName = (raw: JsonObject, where: string): string => {
  const name = stringAt(raw, 'name', where);
  if (name === '') throw wrong(where, 'no name');
  if (!namePattern.test(name)) throw wrong(where, `name ${JSON.stringify(name)} is not a network name`);
  return name;
};

/** `cniVersion` and `cniVersions`. A configuration that names none is of 0.1.0, from before the key was there. */
const parseVersions = (raw: JsonObject, where: string): readonly string[] => {
  const one = stringAt(raw, 'cniVersion', where);
  const versions = [...stringsAt(raw, 'cniVersions', where), ...(one === '' ? [] : [one])];
  for (const version of versions)
    if (parseVersion(version) === undefined)
      throw wrong(where, `version ${JSON.stringify(version)} is not three numbers like 1.0.0`);
  return versions.length === 0 ? ['0.1.0'] : versions;
};

const describe = (raw: JsonObject, plugins: readonly PluginConf[], source: string): Conflist => {
  const versions = parseVersions(raw, source);
  const cniVersion = chooseVersion(versions, []);
  if (cniVersion === undefined)
    throw wrong(
      source,
      `cniVersion ${versions.join(', ')} is newer than ${newestVersion}, the newest that Berth knows`,
    );
  if (plugins.length === 0) throw wrong(source, 'no plugins');
  return {
    name: parseName(raw, source),
    cniVersion,
    versions,
    disableCheck: booleanAt(raw, 'disableCheck', source),
    disableGC: booleanAt(raw, 'disableGC', source),
    plugins,
    source,
  };
};

const inlinedPlugins = (raw: JsonObject, source: string): readonly PluginConf[] =>
  arrayAt(raw, 'plugins', source, pluginLimit).map((value, index) => {
    const where = `${source}: plugin ${index + 1}`;
    return parsePlugin(asObject(value, where), where);
  });

/** A `.conflist`'s text. `others` are the plugins that stand in files of their own, see `loadConfig`. */
export const parseConflist = (text: string, source: string, others: readonly PluginConf[] = []): Conflist => {
  const raw = asObject(parseJson(text, source), source);
  return describe(raw, [...inlinedPlugins(raw, source), ...others], source);
};

/** A `.conf` or `.json`: one plugin, with the network's name and version beside its own keys. */
export const parseSingle = (text: string, source: string): Conflist => {
  const raw = asObject(parseJson(text, source), source);
  if (raw.plugins !== undefined) throw wrong(source, 'has plugins: a list belongs in a file that ends in .conflist');
  return describe(raw, [parsePlugin(raw, source)], source);
};

const readText = async (path: string): Promise<string> => {
  const bytes = await readLimited(path, sizeLimit);
  if (bytes === undefined) throw wrong(path, 'was removed while it was read');
  return bytes.toString('utf8');
};

/** Plugins from `<directory>/<network>/*.conf`, appended unless `loadOnlyInlinedPlugins` is set (CNI 1.1). */
const loadOthers = async (text: string, directory: string, source: string): Promise<readonly PluginConf[]> => {
  const raw = asObject(parseJson(text, source), source);
  if (booleanAt(raw, 'loadOnlyInlinedPlugins', source)) {
    if (raw.plugins === undefined) throw wrong(source, 'loadOnlyInlinedPlugins is true, and there is no plugins list');
    return [];
  }
  const folder = join(directory, parseName(raw, source));
  const names = (await namesIn(folder)).filter((name) => extname(name) === '.conf').toSorted();
  if (names.length > pluginLimit) throw wrong(folder, `${names.length} files, limit ${pluginLimit}`);
  const files = names.map((name) => join(folder, name));
  return Promise.all(
    files.map(async (path) => parsePlugin(asObject(parseJson(await readText(path), path), path), path)),
  );
};

/** The first configuration by name in the directory, as kubelet's users know it; undefined when there is none. */
export const findConfig = async (directory: string): Promise<string | undefined> => {
  const names = (await namesIn(directory)).filter((name) => ['.conflist', '.conf', '.json'].includes(extname(name)));
  for (const name of names.toSorted()) {
    const path = join(directory, name);
    if ((await orMissing(stat(path)))?.isDirectory() === false) return path;
  }
  return undefined;
};

/** Errors name the file and what is wrong in it. */
export const loadConfig = async (path: string, directory: string): Promise<Conflist> => {
  try {
    const text = await readText(path);
    if (extname(path) !== '.conflist') return parseSingle(text, path);
    return parseConflist(text, path, await loadOthers(text, directory, path));
  } catch (error) {
    throw within('read network configuration', error);
  }
};

/** The configuration as text that `parseConflist` reads back, with the version in use as its only one. */
export const formatConflist = (conflist: Conflist): JsonObject => ({
  cniVersion: conflist.cniVersion,
  name: conflist.name,
  disableCheck: conflist.disableCheck,
  disableGC: conflist.disableGC,
  loadOnlyInlinedPlugins: true,
  plugins: conflist.plugins.map((plugin) => plugin.raw),
});
