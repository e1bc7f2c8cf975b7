// berth-shim: one static program, a role each by its first argument. Roles return; only main exits.
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "common.h"

struct role {
  const char *argument, *process_name;
  int (*run)(int argc, char **argv);
};

static const struct role roles[] = {
    {"agent", "berth-agent", role_agent},          {"supervise", "berth-shim", role_supervise},
    {"sandbox", "berth-sandbox", role_sandbox},    {"unpack", "berth-unpack", role_unpack},
    {"cgroup-end", "berth-cgroup", role_cgroup_end}, {"end-holder", "berth-lock", role_end_holder},
    {"layer-fix", "berth-layer", role_layer_fix},    {"layer-read", "berth-layer", role_layer_read},
    {"layer-copy", "berth-layer", role_layer_copy},
    {"tree-usage", "berth-layer", role_tree_usage},  {"tree-remove", "berth-remove", role_tree_remove},
    {"forward", "berth-forward", role_forward},
};

// The name that ps shows. argv[0] can only be overwritten within its own length.
static void name_process(const char *name, char *argv0) {
  prctl(PR_SET_NAME, name, 0, 0, 0);
  const size_t room = strlen(argv0), length = strlen(name);
  if (length > room) return;
  memset(argv0, 0, room);
  memcpy(argv0, name, length);
}

int main(int argc, char **argv) {
  // What a container could ptrace or read through /proc is closed before anything else happens.
  set_undumpable();
  for (size_t i = 0; argc > 1 && i < sizeof roles / sizeof roles[0]; i++) {
    if (strcmp(argv[1], roles[i].argument) != 0) continue;
    name_process(roles[i].process_name, argv[0]);
    return roles[i].run(argc - 2, argv + 2);
  }
  dprintf(2, "berth-shim: unknown role %s; it is started by berthd (protocol %d)\n", argc > 1 ? argv[1] : "(none)",
          BERTH_PROTOCOL);
  return 64;
}
