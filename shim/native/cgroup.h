// Ending a cgroup, for `berth-shim cgroup-end` and for the supervisor.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "common.h"

// Off: behaves as on a kernel without the file `cgroup.kill` (freeze and kill instead). For tests of that fallback.
extern bool cgroup_kill_file;

// Kills every process in the directories and below them, and returns when they are empty: v2 by `cgroup.kill`, else
// by freezing, SIGKILL to each through a pidfd, thawing. The directories are those of one container (v1 has one a
// controller); missing ones are fine. Bounded: EBUSY with the directory after ten seconds.
// Refuses what is not a cgroup or is the root of a hierarchy.
bool cgroup_kill_all(const char *const *dirs, size_t n, struct err *e);

// Removes the (empty) directories and the cgroups below them. Missing ones are fine; EBUSY is tried again for two seconds.
bool cgroup_remove(const char *const *dirs, size_t n, struct err *e);
