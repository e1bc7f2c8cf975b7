// Starting a program from a single-threaded process, as vfork does: nothing is copied, the caller waits for the exec.
#pragma once
#include <sys/resource.h>

#include "common.h"

struct spawn {
  const char *cwd;
  char *const *argv, *const *envp;  // NULL-terminated
  const char *const *cgroup_files;  // `cgroup.procs` (v2) or `tasks` (v1): the child writes 0 to each
  size_t cgroups;
  int input, output, error;  // become 0, 1, 2
  int lock;                  // becomes 3 and gets the child's pid as its content; -1: none
  int mounts;                // becomes 4: the mount template; -1: none
  int program;               // descriptor to execute instead of argv[0]; -1: none
  bool outlive;              // false: SIGKILL when the caller dies
  struct rlimit nofile;
  struct err failed;
  int parent;
};
// The pid, with a pidfd; -1 with `failed` filled. The child leads its own session. Every descriptor named must be above 15.
int spawn(struct spawn *s, int *pidfd);

// Calls `run(argument)` in a child that shares memory and descriptors, with more clone flags; true when it returned 0.
bool run_in_child(unsigned long flags, int (*run)(void *), void *argument);

// Makes all descriptors up to 15 taken, so that a child's fixed numbers never collide with one that is open.
bool reserve_low_descriptors(struct err *e);
