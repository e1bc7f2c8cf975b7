// The tests of all.test.ts that cgroups matter to, once more with systemd as the driver. A process of its own, since files that ask for
// the same daemon share one.
import './driver-systemd.ts';
import './tests/systemd.test.ts';
import './tests/container.test.ts';
import './tests/devices.test.ts';
import './tests/parents.test.ts';
import './tests/resources.test.ts';
import '../stop.test.ts';
import '../recovery.test.ts';
