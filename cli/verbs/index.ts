import type { Verb } from '../context.ts';
import { attach } from './attach.ts';
import { completion } from './completion.ts';
import { cp } from './cp.ts';
import { events } from './events.ts';
import { exec } from './exec.ts';
import { history } from './history.ts';
import { images } from './images.ts';
import { importLayout } from './import.ts';
import { info } from './info.ts';
import { inspect } from './inspect.ts';
import { install } from './install.ts';
import { load } from './load.ts';
import { logs } from './logs.ts';
import { portForward } from './port-forward.ts';
import { ps } from './ps.ts';
import { pull } from './pull.ts';
import { push } from './push.ts';
import { reload } from './reload.ts';
import { rm } from './rm.ts';
import { rmi } from './rmi.ts';
import { run } from './run.ts';
import { save } from './save.ts';
import { stop } from './stop.ts';
import { system } from './system.ts';
import { tag } from './tag.ts';
import { top } from './top.ts';
import { uninstall } from './uninstall.ts';
import { update } from './update.ts';

/** In the order of `berth help`. */
export const verbs: readonly Verb[] = [
  run,
  ps,
  top,
  logs,
  events,
  exec,
  attach,
  cp,
  portForward,
  update,
  stop,
  rm,
  images,
  pull,
  tag,
  inspect,
  history,
  rmi,
  load,
  push,
  save,
  importLayout,
  system,
  info,
  reload,
  install(() => verbs),
  uninstall,
  completion(() => verbs),
];
