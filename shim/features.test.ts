import test from 'ava';
import { featureLabel, featureNames, featuresOf, maskOf, switchedOff } from './features.ts';

test('BERTH_WITHOUT names features by their labels', (t) => {
  t.deepEqual(switchedOff('lowerdir-plus,cgroup-kill,overlay-new-api,clone-into-cgroup,memfd-exec'), [
    'lowerdirPlus',
    'cgroupKill',
    'overlayNewApi',
    'cloneIntoCgroup',
    'memfdExec',
  ]);
  t.deepEqual(switchedOff(undefined), []);
});

test('a feature that is not known is an error that lists those that are', (t) => {
  t.throws(() => switchedOff('cgroup-kil'), { message: /cgroup-kil is not one of .*cgroup-kill/ });
});

test('each feature has a bit of its own', (t) => {
  for (const name of featureNames) {
    const found = featuresOf(maskOf([name]));
    t.deepEqual(
      featureNames.filter((one) => found[one]),
      [name],
      featureLabel(name),
    );
  }
});
