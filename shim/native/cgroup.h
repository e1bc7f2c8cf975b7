// Cgroups: ending one, for `berth-shim cgroup-end` and for the supervisor; device rules of v2.
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

// Calls `visit` for every process in the directory and below it, once each as they are listed.
void cgroup_visit(const char *dir, void (*visit)(pid_t pid, void *argument), void *argument);

// Removes the (empty) directories and the cgroups below them. Missing ones are fine; EBUSY is tried again for two seconds.
bool cgroup_remove(const char *const *dirs, size_t n, struct err *e);

// Loads a program of BPF_PROG_TYPE_CGROUP_DEVICE (struct bpf_insn each) and attaches it to a v2 directory, beside those of
// its parents: all must allow. It lives as long as the directory. An error of the verifier has its first line.
bool cgroup_set_devices(const char *directory, const void *program, size_t length, struct err *e);
