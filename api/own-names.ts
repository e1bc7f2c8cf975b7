/**
 * What berthd keeps in its two directories beside sockets: it takes none for its own that holds other things, and its removal leaves
 * them.
 */
export const ownNames = {
  root: ['cni', 'containers', 'images', 'state'],
  state: ['containers', 'sandboxes'],
} as const;
