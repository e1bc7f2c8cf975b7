import { readFileSync } from 'node:fs';
import test from 'ava';
import { BerthError } from '../../base/errors.ts';
import {
  allCapabilities,
  capabilitiesIn,
  capabilityMask,
  capabilityName,
  capabilityNumber,
  capabilitySet,
  defaultCapabilities,
  parseCapability,
} from './capabilities.ts';

test('a capability is found in any case, with or without CAP_', (t) => {
  for (const text of ['net_admin', 'NET_ADMIN', 'CAP_NET_ADMIN', 'cap_Net_Admin'])
    t.is(parseCapability(text), 'CAP_NET_ADMIN');
  t.is(capabilityNumber('sys_admin'), 21);
  t.is(capabilityName(40), 'CAP_CHECKPOINT_RESTORE');
  t.is(capabilityName(41), undefined);
});

test('an unknown name is invalid-argument and named', (t) => {
  for (const text of ['', 'CAP_', 'NET_ADMINS', 'CAP_CAP_KILL', 'constructor', 'ALL', 'NET_ADMIN\n']) {
    const error = t.throws(() => parseCapability(text), { instanceOf: BerthError });
    t.is(error?.code, 'invalid-argument');
    t.true(error?.message.includes(JSON.stringify(text)));
  }
  t.throws(() => capabilitySet({ add: ['NOPE'], drop: [] }), { instanceOf: BerthError });
  t.throws(() => capabilitySet({ add: [], drop: ['NOPE'] }), { instanceOf: BerthError });
});

test('the numbers are those of this kernel', (t) => {
  const last = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'));
  t.true(last <= 40 || allCapabilities.length === 41);
  t.is(capabilityMask(['CAP_CHOWN', 'CAP_SETFCAP']), 0x8000_0001n);
});

test('a mask and its names are the same thing', (t) => {
  t.is(capabilityMask(defaultCapabilities), 0xa80425fbn);
  t.deepEqual(
    capabilitiesIn(0xa80425fbn),
    [...defaultCapabilities].sort((a, b) => capabilityNumber(a) - capabilityNumber(b)),
  );
  t.deepEqual(capabilitiesIn(1n << 63n), []);
});

test('nothing asked for gives the default set', (t) => {
  t.is(capabilityMask(capabilitySet({ add: [], drop: [] })), 0xa80425fbn);
});

test('ALL fills or empties, single names come after it', (t) => {
  t.deepEqual(capabilitySet({ add: ['ALL'], drop: [] }), [...allCapabilities]);
  t.deepEqual(capabilitySet({ add: [], drop: ['all'] }), []);
  t.deepEqual(capabilitySet({ add: ['NET_ADMIN'], drop: ['ALL'] }), ['CAP_NET_ADMIN']);
  t.is(capabilitySet({ add: ['CAP_ALL'], drop: ['SYS_ADMIN'] }).length, allCapabilities.length - 1);
  t.deepEqual(capabilitySet({ add: ['ALL'], drop: ['ALL'] }), []);
});

test('a capability both added and dropped is not there', (t) => {
  t.false(capabilitySet({ add: ['NET_ADMIN'], drop: ['net_admin'] }).includes('CAP_NET_ADMIN'));
  t.false(capabilitySet({ add: [], drop: ['CHOWN'] }).includes('CAP_CHOWN'));
});

test('what the daemon does not have is left out', (t) => {
  const available = ~(1n << 24n);
  t.false(capabilitySet({ add: ['ALL'], drop: [], available }).includes('CAP_SYS_RESOURCE'));
  t.is(capabilitySet({ add: ['ALL'], drop: [], available }).length, allCapabilities.length - 1);
});
