// berth-shim layer-read --limit N --path P --lower DIR…   (topmost first)
//   The bytes of a file of the merged layers on stdout; links are followed inside the layers' root. Exit 3 when it is
//   not there, 4 when it is a directory, 1 when it is something else or has more than N bytes, the last two with a
//   line on stderr. N = 0 only looks: a file is then exit 0.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"
#include "sys.h"
#include "unpack.h"

enum { NOT_THERE = 3, IS_DIRECTORY = 4, WRONG_USE = 64 };

static int copy_out(int fd, uint64_t limit, const char *path, struct err *e) {
  char buffer[65536];
  for (uint64_t left = limit;;) {
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count < 0) return fail_errno(e, "read", path), 1;
    if (count == 0) return 0;
    if ((uint64_t)count > left) return fail(e, EFBIG, "read", path), 1;
    left -= (uint64_t)count;
    if (!write_all(STDOUT_FILENO, buffer, (size_t)count)) return fail_errno(e, "write", path), 1;
  }
}

static int read_merged(struct view *v, const char *path, uint64_t limit, struct err *e) {
  char true_path[TAR_PATH_LIMIT];
  struct seen seen;
  if (!view_resolve(v, path, true, true_path, e) || !view_look(v, true_path, &seen, e)) return 1;
  if (!seen.found) return NOT_THERE;
  if (!S_ISREG(seen.info.st_mode))
    return fail(e, EINVAL, "read what is no regular file", path), S_ISDIR(seen.info.st_mode) ? IS_DIRECTORY : 1;
  if (limit == 0) return 0;
  if ((uint64_t)seen.info.st_size > limit) return fail(e, EFBIG, "read", path), 1;
  AUTO_CLOSE int fd = openat(seen.dir, seen.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "open", path), 1;
  return copy_out(fd, limit, path, e);
}

int role_layer_read(int argc, char **argv) {
  const char *path = NULL;
  uint64_t limit = 0;
  int i = 0;
  bool good = true;
  for (; good && i + 1 < argc && strcmp(argv[i], "--lower") != 0; i += 2) {
    if (strcmp(argv[i], "--path") == 0) path = argv[i + 1];
    else good = strcmp(argv[i], "--limit") == 0 && parse_number(argv[i + 1], INT64_MAX, &limit);
  }
  if (!good || path == NULL || i + 1 >= argc) {
    (void)dprintf(STDERR_FILENO, "layer-read: usage: --limit N --path PATH --lower DIR...\n");
    return WRONG_USE;
  }
  struct view v = {.budget = 5000000};
  struct err e = {0};
  raise_descriptors();
  const int status =
      view_open(&v, argv + i + 1, (size_t)(argc - i - 1), &e) ? read_merged(&v, path, limit, &e) : 1;
  view_close(&v);
  if (status == 1 || status == IS_DIRECTORY) print_error(&e);
  return status;
}
