import test from 'ava';
import { codeFor } from './helper.ts';

for (const [line, code] of [
  ['make file: a: No space left on device', 'resource-exhausted'],
  ['make file: a: Quota exceeded', 'resource-exhausted'],
  ['make file: a: Disk quota exceeded', 'resource-exhausted'],
  ['unpack: a: Out of memory', 'resource-exhausted'],
  ['unpack: a: Cannot allocate memory', 'resource-exhausted'],
  ['remove: a: No file descriptors available', 'resource-exhausted'],
  ['write: a: I/O error', 'data-loss'],
  ['write: a: Input/output error', 'data-loss'],
  ['unpacker was killed by signal 9: layer: I/O error', 'internal'],
  ['seccomp: unpacker: Function not implemented', 'internal'],
  ['name leaves the layer: ../a: Operation not permitted', 'invalid-argument'],
  ['refuse xattr: No space left on device: Invalid argument', 'invalid-argument'],
] as const)
  test(`the line "${line}" is ${code}`, (t) => {
    t.is(codeFor(line), code);
  });
