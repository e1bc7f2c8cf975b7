// What the interfaces of a network namespace have carried.
#pragma once
#include "common.h"

// Adds /proc/net/dev of each namespace as a string field, "" for one that is not there. The process is in the namespaces one
// after the other, and back in `own` at the end: false (with `e` filled) when it is not.
bool add_net_devices(struct builder *b, int own, const char *const *paths, size_t count, struct err *e);
