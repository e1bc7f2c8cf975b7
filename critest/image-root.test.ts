import { join } from 'node:path';
import test from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { image, layer, writeRegistry } from './harness/image.ts';
import { names, registryHost } from './harness/images.ts';
import { runPod } from './harness/pods.ts';
