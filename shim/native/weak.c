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
__attribute__((weak)) int role_layer_fix(int argc, char **argv) {
  (void)argc, (void)argv;
  return missing("layer-fix");
}
__attribute__((weak)) int role_layer_read(int argc, char **argv) {
  (void)argc, (void)argv;
  return missing("layer-read");
}
__attribute__((weak)) int role_tree_usage(int argc, char **argv) {
  (void)argc, (void)argv;
  return missing("tree-usage");
}
