// Locks that a process holds for its life; its process group's number stands in the file.
#pragma once
#include "common.h"

// Opens (and makes) `path` and locks it; EWOULDBLOCK when somebody holds it. -1 with `e` filled.
int take_lock(const char *path, struct err *e);

// Whether the lock is free, and the number in the file (0: none). A missing file is free.
bool try_lock(const char *path, bool *is_free, uint64_t *pid, struct err *e);

// Waits up to `wait_ms` for the lock, then kills the process group in the file and whoever else has the file open,
// until the lock is free. EBUSY after five more seconds.
bool end_holder(const char *path, uint64_t wait_ms, struct err *e);
