// What the agent makes once at boot, and what it finds out about the kernel.
#pragma once
#include "common.h"

// A descriptor of this very program that no container can write through /proc/PID/exe (CVE-2019-5736): a sealed memfd,
// or a read-only mount of the file when `memfd` is false or the kernel forbids executable memfds. -1 with `e` filled.
int open_own_program(bool memfd, struct err *e);

// A mount namespace that holds one mount: an empty read-only tmpfs with the directory /root. -1 with `e` filled.
int make_mount_template(struct err *e);

// Tries each feature and returns those that worked (enum feature).
uint64_t probe_features(int mount_template);
