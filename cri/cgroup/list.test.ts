import test from 'ava';
import type { OciResources } from '../../shim/oci.ts';
import { formatList, missingFrom, parseList } from './list.ts';
import { checkMachine } from './machine.ts';

const list = (text: string) => parseList(text) ?? [];

test('a list is written as the kernel writes it, whatever its order and its overlaps', (t) => {
  const written = ['0', '1,0', '3-5,4-7,9', '0-1,3', '7,5,6'].map((text) => formatList(list(text)));
  t.deepEqual(written, ['0', '0-1', '3-7,9', '0-1,3', '5-7']);
});

test('what is no list is refused whole', (t) => {
  for (const text of ['', ',', '0,', '3-1', '0-', '-1', '0 1', '0\n1', '0x1', '123456'])
    t.is(parseList(text), undefined);
});

test('the first number that is not there is found, also at the end of a range', (t) => {
  const found = ['0-3', '2', '3-4', '0,9', '5-6'].map((wanted) => missingFrom(list(wanted), list('0-3,6')));
  t.deepEqual(found, [undefined, undefined, 4, 9, 5]);
});

test('processors, memory nodes and page sizes that the machine lacks are refused by the field’s name', (t) => {
  const machine = { cpus: '0-3', mems: '0', pageSizes: ['2MB', '1GB'] };
  const check = (resources: Partial<OciResources>) => () => checkMachine({ devices: [], ...resources }, machine);
  const pages = (pageSize: string, limit: number) => ({ hugepageLimits: [{ pageSize, limit }] });
  t.notThrows(check({ cpu: { cpus: '1-3', mems: '0' }, ...pages('1GB', 1) }));
  t.notThrows(check(pages('16KB', 0)));
  const refused = (resources: Partial<OciResources>, message: RegExp): void => {
    t.throws(check(resources), { code: 'invalid-argument', message });
  };
  refused({ cpu: { cpus: '3-4' } }, /^cpuset_cpus: 3-4: this machine has no processor 4, it has 0-3$/);
  refused({ cpu: { mems: '1' } }, /^cpuset_mems: .* memory node 1/);
  refused(pages('16KB', 1), /^hugepage_limits: .* 16KB, it has 2MB, 1GB$/);
});
