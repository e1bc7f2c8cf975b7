#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "layer.h"
#include "sys.h"

#define LINKS_LIMIT 40

bool within_cpu(uint64_t microseconds, struct err *e) {
  struct timespec used;
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) < 0) return fail_errno(e, "read clock", "layer");
  const uint64_t now = (uint64_t)used.tv_sec * 1000000u + (uint64_t)used.tv_nsec / 1000u;
  return now < microseconds || fail(e, ETIME, "give up, it needs too much processor time", "layer");
}

bool is_whiteout(const struct stat *info) { return S_ISCHR(info->st_mode) && info->st_rdev == 0; }

bool is_opaque(int dir) {
  char value = 0;
  return fgetxattr(dir, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

bool join_path(char out[TAR_PATH_LIMIT], const char *parent, const char *name) {
  const int length = *parent == 0 ? snprintf(out, TAR_PATH_LIMIT, "%s", name)
                                  : snprintf(out, TAR_PATH_LIMIT, "%s/%s", parent, name);
  return length >= 0 && (size_t)length < TAR_PATH_LIMIT;
}

void drop_last(char *path) {
  char *slash = strrchr(path, '/');
  *(slash == NULL ? path : slash) = 0;
}

const char *last_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

static void leave_directory(struct view *v) {
  if (!v->at_root)
    for (size_t i = 0; i < v->dir_count; i++) close(v->dirs[i]);
  v->dir_count = 0;
  v->at_root = false;
}

static void enter_top(struct view *v) {
  leave_directory(v);
  memcpy(v->dirs, v->roots, v->count * sizeof *v->roots);
  v->dir_count = v->count;
  v->at_root = true;
  v->path[0] = 0;
}

bool view_open(struct view *v, char *const *paths, size_t count, struct err *e) {
  *v = (struct view){.budget = v->budget};
  v->roots = calloc(count + 1, sizeof *v->roots);
  v->dirs = calloc(count + 1, sizeof *v->dirs);
  if (v->roots == NULL || v->dirs == NULL) return fail(e, ENOMEM, "open layers", "");
  for (; v->count < count; v->count++) {
    v->roots[v->count] = open(paths[v->count], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (v->roots[v->count] < 0) return fail_errno(e, "open layer", paths[v->count]);
  }
  enter_top(v);
  return true;
}

void view_close(struct view *v) {
  leave_directory(v);
  for (size_t i = 0; i < v->count; i++) close(v->roots[i]);
  free(v->roots);
  free(v->dirs);
  *v = (struct view){0};
}

// One name down in every layer that shows; a whiteout, a file or an opaque directory hides what is below it.
static bool enter(struct view *v, const char *name, struct err *e) {
  size_t kept = 0, i = 0;
  v->steps += v->dir_count;
  if (v->budget > 0 && v->steps >= 256) {
    v->steps = 0;
    if (!within_cpu(v->budget, e)) return false;
  }
  for (bool more = true; more && i < v->dir_count; i++) {
    const int fd = openat(v->dirs[i], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const int number = errno;
    if (!v->at_root) close(v->dirs[i]);
    if (fd < 0 && number != ENOENT && number != ENOTDIR && number != ELOOP) {
      for (size_t k = 0; k < kept; k++) close(v->dirs[k]);
      for (size_t k = i + 1; !v->at_root && k < v->dir_count; k++) close(v->dirs[k]);
      v->dir_count = 0;
      v->at_root = false;
      return fail(e, number, "open directory", name);
    }
    if (fd >= 0) v->dirs[kept++] = fd;
    more = fd >= 0 ? !is_opaque(fd) : number == ENOENT;
  }
  for (; !v->at_root && i < v->dir_count; i++) close(v->dirs[i]);
  v->dir_count = kept;
  v->at_root = false;
  return true;
}

static bool go_to(struct view *v, const char *path, size_t length, struct err *e) {
  const size_t here = strlen(v->path);
  if (here == length && memcmp(v->path, path, length) == 0) return true;
  if (here > length || memcmp(v->path, path, here) != 0 || (here > 0 && path[here] != '/')) enter_top(v);
  while (strlen(v->path) < length) {
    const size_t at = strlen(v->path), from = at == 0 ? 0 : at + 1;
    const char *end = memchr(path + from, '/', length - from);
    const size_t part = end == NULL ? length - from : (size_t)(end - path) - from;
    char name[256];
    if (part >= sizeof name) return fail(e, ENAMETOOLONG, "look up", path);
    memcpy(name, path + from, part);
    name[part] = 0;
    memcpy(v->path, path, from + part);
    v->path[from + part] = 0;
    if (!enter(v, name, e)) {
      enter_top(v);
      return false;
    }
  }
  return true;
}

bool view_look(struct view *v, const char *path, struct seen *seen, struct err *e) {
  const char *slash = strrchr(path, '/');
  *seen = (struct seen){.name = *path == 0 ? "." : last_name(path), .dir = -1};
  if (!go_to(v, path, slash == NULL ? 0 : (size_t)(slash - path), e)) return false;
  for (size_t i = 0; i < v->dir_count; i++) {
    if (fstatat(v->dirs[i], seen->name, &seen->info, AT_SYMLINK_NOFOLLOW) < 0) {
      if (errno != ENOENT) return fail_errno(e, "look up", path);
      continue;
    }
    seen->found = !is_whiteout(&seen->info);
    seen->dir = v->dirs[i];
    return true;
  }
  return true;
}

bool view_resolve(struct view *v, const char *path, bool last, char out[TAR_PATH_LIMIT], struct err *e) {
  char pending[2 * TAR_PATH_LIMIT], target[2 * TAR_PATH_LIMIT], name[256];
  int links = 0;
  if (strlen(path) >= TAR_PATH_LIMIT) return fail(e, ENAMETOOLONG, "look up", path);
  memcpy(pending, path, strlen(path) + 1);
  out[0] = 0;
  for (char *at = pending; *at != 0;) {
    char *end = strchrnul(at, '/'), *next = *end == 0 ? end : end + 1;
    const size_t part = (size_t)(end - at), length = strlen(out);
    if (part >= sizeof name) return fail(e, ENAMETOOLONG, "look up", path);
    memcpy(name, at, part);
    name[part] = 0;
    at = next;
    if (part == 0 || strcmp(name, ".") == 0) continue;
    if (strcmp(name, "..") == 0) {
      drop_last(out);
      continue;
    }
    if (length + part + 2 > TAR_PATH_LIMIT) return fail(e, ENAMETOOLONG, "look up", path);
    if (length > 0) out[length] = '/';
    memcpy(out + length + (length > 0), name, part + 1);
    struct seen seen;
    if (!view_look(v, out, &seen, e)) return false;
    if (!seen.found || !S_ISLNK(seen.info.st_mode) || (*at == 0 && !last)) continue;
    const ssize_t size = readlinkat(seen.dir, seen.name, target, TAR_PATH_LIMIT);
    const size_t rest = strlen(at);
    if (size < 0) return fail_errno(e, "read link", path);
    if (++links > LINKS_LIMIT) return fail(e, ELOOP, "follow link", path);
    if ((size_t)size + rest + 2 > sizeof target) return fail(e, ENAMETOOLONG, "follow link", path);
    target[size] = '/';
    memcpy(target + size + 1, at, rest + 1);
    drop_last(out);
    if (target[0] == '/') out[0] = 0;
    memcpy(pending, target, (size_t)size + rest + 2);
    at = pending;
  }
  return true;
}
