import { invalid } from '../../base/errors.ts';
import { isNetworkV6, parseSubnet, type Subnet } from './subnet.ts';

/** The addresses of a node's pods, as the cluster gave them to the node: of one family, or one of each. */
export interface PodCidr {
  /** In the order of the request. */
  readonly texts: readonly string[];
  readonly v4: Subnet | undefined;
  readonly v6: string | undefined;
}

/** The node's pod CIDR as it was told last, and the bridge that the default network has for it. */
export interface KeptCidr {
  readonly cidr: PodCidr;
  readonly bridge: string;
}

/** CRI's NetworkConfig.pod_cidr: one network, or two with a comma. Throws `invalid-argument`. */
export const parsePodCidr = (text: string): PodCidr => {
  const texts = text.split(',').map((part) => part.trim());
  const each = texts.map(network);
  const [v4, ...more4] = each.filter((one) => typeof one === 'object');
  const [v6, ...more6] = each.filter((one) => typeof one === 'string');
  if (more4.length + more6.length > 0)
    throw invalid(
      `pod CIDR ${quoted(text)}: more than one network of a family; a node's pods have one of each at most`,
    );
  return { texts, v4, v6 };
};

const quoted = (text: string): string => JSON.stringify(text.slice(0, 200));

/** host-local gives no addresses from less than four. */
const network = (text: string): Subnet | string => {
  const four = parseSubnet(text);
  if (four !== undefined && four.bits >= 8 && four.bits <= 30) return four;
  if (four === undefined && isNetworkV6(text, 16, 126)) return text;
  throw invalid(
    `pod CIDR ${quoted(text)}: not an IPv4 network from /8 to /30 or an IPv6 network from /16 to /126 without host bits, such as 10.244.1.0/24`,
  );
};
