// What critest/vm/run -f emulated runs: what user-mode Linux lacks (NAT and port mappings, cpuset, pressure, two processors),
// on Debian 12's own kernel with its fallbacks.
import '../network/ports.test.ts';
import '../kernel-features.test.ts';
import './tests/resources.test.ts';
import './tests/stats.test.ts';
import './tests/metrics.test.ts';
