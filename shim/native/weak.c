// A role that a build leaves out (a test links single files) answers that it is not there.
#include <stdio.h>

#include "common.h"

static int missing(const char *role) {
  dprintf(2, "berth-shim: the role %s is not part of this build\n", role);
  return 64;
}

__attribute__((weak)) int role_supervise(int argc, char **argv) {
  (void)argc, (void)argv;
  return missing("supervise");
}
__attribute__((weak)) int role_unpack(int argc, char **argv) {
  (void)argc, (void)argv;
  return missing("unpack");
}
__attribute__((weak)) int role_agent(int argc, char **argv) {
  (void)argc, (void)argv;
  return missing("agent");
}
__attribute__((weak)) int role_sandbox(int argc, char **argv) {
  (void)argc, (void)argv;
  return missing("sandbox");
}
__attribute__((weak)) int role_cgroup_end(int argc, char **argv) {
  (void)argc, (void)argv;
  return missing("cgroup-end");
}
