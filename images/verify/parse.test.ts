import { generateKeyPairSync } from 'node:crypto';
import test from 'ava';
import { BerthError } from '../../base/errors.ts';
import { parseReference } from '../reference.ts';
import { problemOfName } from './identity.ts';
import { parsePolicy } from './parse.ts';
import type { Identity } from './policy.ts';
import { problemOfScope, requirementsFor } from './scope.ts';

const pemOf = (pair: { publicKey: import('node:crypto').KeyObject }): string =>
  pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const good = pemOf(p256);
const keyFiles: Readonly<Record<string, string>> = {
  '/k/good.pub': good,
  '/k/ed.pub': pemOf(generateKeyPairSync('ed25519')),
  '/k/private.key': p256.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  '/k/p384.pub': pemOf(generateKeyPairSync('ec', { namedCurve: 'P-384' })),
  '/k/weak.pub': pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 })),
  '/k/two.pub': good + good,
  '/k/text.pub': 'a key',
  '/k/torn.pub': good.replace(/\n.{20}/, '\n'),
};

const read = async (path: string): Promise<Buffer> => {
  const text = keyFiles[path];
  if (text === undefined) throw new BerthError('invalid-argument', 'there is no such file');
  return Buffer.from(text);
};
const parse = (value: unknown) => parsePolicy(Buffer.from(JSON.stringify(value)), '/p.json', read);
const accept = [{ type: 'insecureAcceptAnything' }];
const scoped = (requirement: object, scope = 'a.example/b') => ({
  default: accept,
  transports: { docker: { [scope]: [requirement] } },
});
const cosign = (more: object = {}) => ({ type: 'sigstoreSigned', keyPath: '/k/good.pub', ...more });

test('a policy as CRI-O and podman read it is read, with what is about other transports let be', async (t) => {
  const policy = await parse({
    default: [{ type: 'reject' }],
    transports: {
      'docker-daemon': { '': accept },
      docker: {
        '': accept,
        'a.example:5000': [cosign({ signedIdentity: { type: 'matchRepository' } })],
        'docker.io/library/busybox:1': [
          { type: 'sigstoreSigned', keyPaths: ['/k/good.pub', '/k/ed.pub'] },
          { type: 'sigstoreSigned', keyData: Buffer.from(good).toString('base64') },
          { type: 'program', path: '/bin/verify', args: ['-x'], timeoutSeconds: 20 },
        ],
      },
    },
  });
  const kinds = (text: string) => requirementsFor(policy, parseReference(text)).requirements.map(({ kind }) => kind);
  t.deepEqual(kinds('a.example:5000/x'), ['cosign']);
  t.deepEqual(kinds('busybox:1'), ['cosign', 'cosign', 'program']);
  t.deepEqual(kinds('busybox:2'), ['accept']);
  t.deepEqual(policy.otherwise, [{ kind: 'reject' }]);
});

const wrong: readonly (readonly [string, unknown, RegExp])[] = [
  ['no default', { transports: {} }, /^\/p.json: default: is not a list/],
  ['an empty list', { default: [] }, /default: is not a list of one/],
  ['a word of its own', { default: accept, extra: 1 }, /"extra" is not known; default, transports are/],
  ['a transport that is none', { default: accept, transports: { dokcer: {} } }, /transports: "dokcer" is not known/],
  ['a type that is none', scoped({ type: 'accept' }), /docker\["a.example\/b"\]\[0\].type: "accept" is none of/],
  ['a misspelt field', scoped(cosign({ signedidentity: {} })), /"signedidentity" is not known/],
  ['a field for another type', scoped({ type: 'reject', keyPath: '/k/good.pub' }), /"keyPath" is not known/],
  ['GPG', scoped({ type: 'signedBy', keyPath: '/k/good.pub' }), /signedBy: GPG signatures are not supported/],
  ['a transparency log', scoped(cosign({ rekorPublicKeyPath: '/k/good.pub' })), /rekorPublicKeyPath: transparency/],
  ['certificates', scoped({ type: 'sigstoreSigned', fulcio: {} }), /fulcio: certificates are not verified/],
  ['no key', scoped({ type: 'sigstoreSigned' }), /\[0\]: needs one of keyPath/],
  ['no key in the list', scoped({ type: 'sigstoreSigned', keyPaths: [] }), /keyPaths: names no key/],
  ['two kinds of keys', scoped(cosign({ keyData: 'x' })), /needs one of keyPath/],
  ['a key that is not there', scoped(cosign({ keyPath: '/k/none' })), /keyPath: \/k\/none there is no such file/],
  ['a key by a relative path', scoped(cosign({ keyPath: 'k' })), /keyPath: k is not an absolute path/],
  ['a private key', scoped(cosign({ keyPath: '/k/private.key' })), /private.key is a private key/],
  ['a key of another curve', scoped(cosign({ keyPath: '/k/p384.pub' })), /of the kind ec secp384r1; ECDSA P-256/],
  ['a weak key', scoped(cosign({ keyPath: '/k/weak.pub' })), /of the kind rsa 1024/],
  ['two keys in a file', scoped(cosign({ keyPath: '/k/two.pub' })), /is not one public key in PEM/],
  ['a text for a key', scoped(cosign({ keyPath: '/k/text.pub' })), /is not one public key in PEM/],
  ['a torn key', scoped(cosign({ keyPath: '/k/torn.pub' })), /torn.pub is not a public key/],
  [
    'a wrong one of several keys',
    scoped({ type: 'sigstoreSigned', keyPaths: ['/k/good.pub', '/k/none'] }),
    /keyPaths\[1\]: \/k\/none/,
  ],
  ['key data that is none', scoped({ type: 'sigstoreSigned', keyData: 'AAAA' }), /keyData: is not one public key/],
  ['an identity that is none', scoped(cosign({ signedIdentity: { type: 'any' } })), /signedIdentity.type: "any" is/],
  [
    'an identity without its name',
    scoped(cosign({ signedIdentity: { type: 'exactRepository' } })),
    /dockerRepository: "" is empty/,
  ],
  [
    'an exact reference without a tag',
    scoped(cosign({ signedIdentity: { type: 'exactReference', dockerReference: 'a.example:5000/b' } })),
    /dockerReference: has no tag or digest/,
  ],
  ['a program by name', scoped({ type: 'program', path: 'verify' }), /path: is not an absolute path/],
  ['a program without an end', scoped({ type: 'program', path: '/v', timeoutSeconds: 1e9 }), /from 1 to 300/],
  [
    'a scope without a registry',
    scoped(cosign(), 'busybox'),
    /"busybox"\]: begins with no registry.*docker.io\/library\/busybox/,
  ],
  ['a scope of a user alone', scoped(cosign(), 'user/app'), /begins with no registry.*docker.io\/user\/app/],
  ['a scope in upper case', scoped(cosign(), 'A.example/b'), /does not begin with a registry/],
  ['a scope with a scheme', scoped(cosign(), 'https://a.example'), /does not begin with a registry/],
  ['a scope with an empty part', scoped(cosign(), 'a.example//b'), /is not a namespace/],
  ['a scope with a slash at its end', scoped(cosign(), 'a.example/b/'), /is not a namespace/],
  ['a scope with a star in it', scoped(cosign(), 'a.example/*'), /is not a namespace/],
  ['an image of Docker Hub without library/', scoped(cosign(), 'docker.io/busybox:1'), /lacks "library\/"/],
];

for (const [what, value, message] of wrong)
  test(`a policy with ${what} is refused, and the place is told`, async (t) => {
    const error = await t.throwsAsync(parse(value), { instanceOf: BerthError, message });
    t.is(error?.code, 'invalid-argument');
  });

test('scopes go from the image to the registry, its domains and all', (t) => {
  const narrowing = [
    'r.a.example:5000/x/y/z:1',
    'r.a.example:5000/x/y/z',
    'r.a.example:5000/x/y',
    'r.a.example:5000/x',
    'r.a.example:5000',
    '*.a.example:5000',
    '*.a.example',
    '*.example:5000',
    '*.example',
    '',
  ];
  const reference = parseReference('r.a.example:5000/x/y/z:1');
  for (const at of narrowing.keys()) {
    const scopes = new Map(narrowing.slice(at).map((scope) => [scope, []] as const));
    t.is(requirementsFor({ otherwise: [], scopes }, reference).scope, narrowing[at] || 'docker');
    t.is(problemOfScope(narrowing[at] ?? ''), undefined, narrowing[at]);
  }
  t.is(requirementsFor({ otherwise: [], scopes: new Map() }, reference).scope, 'default');
  const near = new Map(
    ['r.a.example', 'r.a.example:5000/x/yy', 'r.a.example:5000/x/y/z:2', '*.r.a.example', '*.a.example:500'].map(
      (scope) => [scope, []] as const,
    ),
  );
  t.is(requirementsFor({ otherwise: [], scopes: near }, reference).scope, 'default', 'a part is whole or none');
});

const hex = 'a'.repeat(64);
const names: readonly (readonly [Identity, string | undefined, string, boolean])[] = [
  [{ kind: 'matchDigest' }, undefined, 'a.example/b:1', true],
  [{ kind: 'matchDigest' }, 'other', 'a.example/b:1', true],
  [{ kind: 'matchRepository' }, undefined, 'a.example/b:1', false],
  [{ kind: 'matchRepoDigestOrExact' }, undefined, `a.example/b@sha256:${hex}`, false],
  [{ kind: 'matchRepository' }, 'a.example/b', 'a.example/b:1', true],
  [{ kind: 'matchRepository' }, 'a.example/b:2', 'a.example/b:1', true],
  [{ kind: 'matchRepository' }, 'a.example/b', `a.example/b@sha256:${hex}`, true],
  [{ kind: 'matchRepository' }, 'a.example/bb', 'a.example/b:1', false],
  [{ kind: 'matchRepository' }, 'busybox', 'docker.io/library/busybox:1', true],
  [{ kind: 'matchExact' }, 'a.example/b:1', 'a.example/b:1', true],
  [{ kind: 'matchExact' }, 'a.example/b', 'a.example/b:latest', false],
  [{ kind: 'matchExact' }, 'a.example/b:1', `a.example/b@sha256:${hex}`, false],
  [{ kind: 'matchRepoDigestOrExact' }, 'a.example/b', 'a.example/b:1', false],
  [{ kind: 'matchRepoDigestOrExact' }, 'a.example/b:1', 'a.example/b:1', true],
  [{ kind: 'matchRepoDigestOrExact' }, 'a.example/b:1', `a.example/b@sha256:${hex}`, true],
  [{ kind: 'matchRepoDigestOrExact' }, 'a.example/c:1', `a.example/b@sha256:${hex}`, false],
  [{ kind: 'exactRepository', name: 'o.example/x' }, 'o.example/x', 'a.example/b:1', true],
  [{ kind: 'exactRepository', name: 'o.example/x' }, 'a.example/b', 'a.example/b:1', false],
  [{ kind: 'exactReference', name: 'o.example/x:1' }, 'o.example/x:1', 'a.example/b:9', true],
  [{ kind: 'exactReference', name: 'o.example/x:1' }, 'o.example/x:2', 'a.example/b:9', false],
  [
    { kind: 'remapIdentity', prefix: 'a.example', signedPrefix: 'o.example/x' },
    'o.example/x/b:1',
    'a.example/b:1',
    true,
  ],
  [
    { kind: 'remapIdentity', prefix: 'a.example', signedPrefix: 'o.example' },
    'a.example:5000/b:1',
    'a.example:5000/b:1',
    true,
  ],
  [{ kind: 'remapIdentity', prefix: 'a.exam', signedPrefix: 'o.example' }, 'a.example/b:1', 'a.example/b:1', true],
  [
    { kind: 'remapIdentity', prefix: 'a.example/b', signedPrefix: 'o.example/c' },
    'o.example/c:1',
    'a.example/bb:1',
    false,
  ],
];

for (const [identity, name, image, fits] of names)
  test(`${identity.kind}: a signature for ${name} ${fits ? 'serves' : 'does not serve'} for ${image.slice(0, 40)} (${JSON.stringify(identity)})`, (t) => {
    t.is(problemOfName(name, identity, parseReference(image)) === undefined, fits);
  });

test('random bytes for a policy are refused in words', async (t) => {
  for (const text of ['', '{', '[]', 'null', '{"default":[{"type":"reject"}],"default":[]}', '\ufeff{}'])
    await t.throwsAsync(parsePolicy(Buffer.from(text), '/p.json', read), { message: /^\/p.json: / });
});
