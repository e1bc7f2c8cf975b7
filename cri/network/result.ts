import { isIP } from 'node:net';
import { arrayAt, asObject, indexAt, type JsonObject, objectAt, stringAt, stringsAt, wrong } from './json.ts';

export interface CniAddress {
  readonly address: string;
  readonly prefix: number;
  readonly family: 4 | 6;
  readonly gateway: string;
  /** Index into `interfaces`. */
  readonly interface: number | undefined;
}

export interface CniInterface {
  readonly name: string;
  readonly mac: string;
  /** The netns path, "" on the host. */
  readonly sandbox: string;
}

export interface CniDns {
  readonly nameservers: readonly string[];
  readonly domain: string;
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** The last plugin's result, checked. `podIPs` are the addresses of the pod's interface, the first is the pod's own. */
export interface CniResult {
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly CniAddress[];
  readonly dns: CniDns;
  readonly podIPs: readonly string[];
}

const parseCidr = (text: string, where: string): Pick<CniAddress, 'address' | 'prefix' | 'family'> => {
  const match = /^([0-9a-fA-F:.]{2,45})\/(\d{1,3})$/.exec(text);
  const address = match?.[1] ?? '';
  const prefix = Number(match?.[2] ?? -1);
  const family = isIP(address);
  if ((family !== 4 && family !== 6) || prefix < 0 || prefix > (family === 4 ? 32 : 128))
    throw wrong(where, `${JSON.stringify(text.slice(0, 80))} is not an address with a prefix length`);
  return { address, prefix, family };
};

const parseGateway = (object: JsonObject, where: string): string => {
  const gateway = stringAt(object, 'gateway', where);
  if (gateway !== '' && isIP(gateway) === 0)
    throw wrong(where, `gateway ${JSON.stringify(gateway.slice(0, 80))} is not an address`);
  return gateway;
};

const parseInterface = (object: JsonObject, where: string): CniInterface => ({
  name: stringAt(object, 'name', where),
  mac: stringAt(object, 'mac', where),
  sandbox: stringAt(object, 'sandbox', where),
});

const parseAddress = (object: JsonObject, interfaces: number, where: string): CniAddress => {
  const index = indexAt(object, 'interface', where);
  if (index !== undefined && index >= interfaces) throw wrong(where, `interface ${index} of ${interfaces}`);
  return {
    ...parseCidr(stringAt(object, 'address', where), where),
    gateway: parseGateway(object, where),
    interface: index,
  };
};

/** Results before 0.3.0 have `ip4` and `ip6` instead of lists. */
const oldAddresses = (raw: JsonObject, where: string): readonly CniAddress[] =>
  ['ip4', 'ip6'].flatMap((key) => {
    const object = objectAt(raw, key, where);
    if (object === undefined) return [];
    const cidr = parseCidr(stringAt(object, 'ip', `${where}: ${key}`), `${where}: ${key}`);
    return [{ ...cidr, gateway: parseGateway(object, `${where}: ${key}`), interface: undefined }];
  });

const parseDns = (raw: JsonObject, where: string): CniDns => ({
  nameservers: stringsAt(raw, 'nameservers', where),
  domain: stringAt(raw, 'domain', where),
  search: stringsAt(raw, 'search', where),
  options: stringsAt(raw, 'options', where),
});

/** Addresses that name an interface of the sandbox, or all of them where the plugin names none. */
const ofPod = (ips: readonly CniAddress[], interfaces: readonly CniInterface[], ifName: string): readonly string[] => {
  const own = ips.filter((ip) => {
    const link = ip.interface === undefined ? undefined : interfaces[ip.interface];
    return link !== undefined && link.name === ifName && link.sandbox !== '';
  });
  return (own.length > 0 ? own : ips.filter((ip) => ip.interface === undefined)).map((ip) => ip.address);
};

const ipsOf = (raw: JsonObject, interfaces: number, where: string): readonly CniAddress[] => {
  const listed = arrayAt(raw, 'ips', where).map((value, index) =>
    parseAddress(asObject(value, `${where}: ips[${index}]`), interfaces, `${where}: ips[${index}]`),
  );
  return listed.length > 0 ? listed : oldAddresses(raw, where);
};

/** A result of any version of the spec (section 5). Errors say where in it. */
export const parseResult = (raw: JsonObject, ifName: string, where: string): CniResult => {
  const interfaces = arrayAt(raw, 'interfaces', where).map((value, index) =>
    parseInterface(asObject(value, `${where}: interfaces[${index}]`), `${where}: interfaces[${index}]`),
  );
  const ips = ipsOf(raw, interfaces.length, where);
  const podIPs = ofPod(ips, interfaces, ifName);
  if (podIPs.length === 0) throw wrong(where, `the result has no address for ${ifName}`);
  return { interfaces, ips, dns: parseDns(objectAt(raw, 'dns', where) ?? {}, `${where}: dns`), podIPs };
};
