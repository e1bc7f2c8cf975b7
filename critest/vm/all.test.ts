// What critest/vm/run runs: all in one process, since each has to start in a machine that is slow at that, and daemons that
// are asked for alike are one.
import './tests/machine.test.ts';
import './tests/container.test.ts';
import './tests/devices.test.ts';
import './tests/parents.test.ts';
import './tests/resources.test.ts';
import './tests/userns.test.ts';
import './tests/volumes.test.ts';
import './tests/stats.test.ts';
import './tests/metrics.test.ts';
import './tests/events.test.ts';
import './tests/images.test.ts';
import './tests/apparmor.test.ts';
import './tests/pods.test.ts';
