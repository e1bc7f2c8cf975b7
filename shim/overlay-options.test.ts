import test from 'ava';
import { overlayOptions, readOverlay } from './overlay-options.ts';

const read = (...options: string[]) => readOverlay({ destination: '/v', type: 'overlay', source: 'overlay', options });

test('layers whose paths hold what overlayfs reads as its own are read as they were written', (t) => {
  const volume = { lowers: ['/a:b', '/c,d\\', '/e\n'], directory: 'x=y:z' };
  t.deepEqual(read('ro', ...overlayOptions(volume)), { ...volume, rest: ['ro'] });
  t.deepEqual(overlayOptions({ lowers: ['/a:b', '/c'], directory: '' }), ['lowerdir=/a\\:b:/c']);
});

test('an overlay of one layer is refused: overlayfs needs two', (t) => {
  t.throws(() => read('ro', 'lowerdir=/a'), { message: /fewer than two/ });
  t.throws(() => read('ro'), { message: /fewer than two/ });
});
