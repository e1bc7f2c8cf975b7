#include "net_devices.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

// A line has some 130 bytes.
#define DEVICES_LIMIT (64u << 10)

// The kernel gives whole lines, at most a page a read. Cut at the limit.
static size_t read_devices(char *buffer) {
  AUTO_CLOSE int file = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  for (ssize_t n = 1; file >= 0 && n > 0 && length < DEVICES_LIMIT; length += n > 0 ? (size_t)n : 0)
    n = read(file, buffer + length, DEVICES_LIMIT - length);
  return length;
}

static size_t devices_of(const char *path, char *buffer) {
  AUTO_CLOSE int ns = open(path, O_RDONLY | O_CLOEXEC);
  return ns >= 0 && setns(ns, CLONE_NEWNET) == 0 ? read_devices(buffer) : 0;
}

bool add_net_devices(struct builder *b, int own, const char *const *paths, size_t count, struct err *e) {
  AUTO_FREE char *buffer = malloc(DEVICES_LIMIT);
  if (buffer == NULL) return fail(e, ENOMEM, "read devices", "");
  for (size_t i = 0; i < count; i++) add_string(b, buffer, devices_of(paths[i], buffer));
  return setns(own, CLONE_NEWNET) == 0 || fail_errno(e, "setns", "the agent's own network namespace");
}
