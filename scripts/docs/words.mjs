// What the schema's types are called for people.

const types = {
  path: 'an absolute path',
  paths: 'a list of absolute paths',
  address: '`unix:///path`',
  cgroup: 'a cgroup path or a slice',
  subnet: '`""`, `"none"`, or one or two ranges',
  interface: "an interface's name",
  hosts: 'a list of `host` or `host:port`',
  patterns: 'a list of image names',
  handlers: 'a list of names',
  integer: 'a whole number',
  size: 'bytes, or text such as `"16MiB"`',
  boolean: '`true` or `false`',
  profile: '`"builtin"` or an absolute path',
  annotation: '`""` or the name of an annotation',
  ip: 'an IP address',
  endpoint: '`""`, `unix:///path`, or an IP address with its port',
  file: '`""` or an absolute path',
};

/** A type that is added and has no words yet is an error of the build. */
export const typeOf = ({ type, choices, unit }) => {
  if (type === 'choice') return `one of ${choices.map((choice) => `\`"${choice}"\``).join(', ')}`;
  if (types[type] === undefined) throw new Error(`docs: scripts/docs/words.mjs has no words for the type ${type}`);
  return unit === undefined ? types[type] : `${types[type]} of ${unit}`;
};

export const limitsOf = ({ least, most }) => (least === undefined ? '' : `from ${least} to ${most}`);
