#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "cgroup.h"
#include "sys.h"

#define KILL_MS 10000
#define REMOVE_MS 2000
#define DEPTH 32
#define BATCH 256

bool cgroup_kill_file = true;

static bool is_hierarchy_root(int fd) {
  struct stat own, parent;
  // The parent of a hierarchy's root is the file system that it is mounted in.
  if (fstat(fd, &own) < 0 || fstatat(fd, "..", &parent, 0) < 0) return true;
  return own.st_dev != parent.st_dev;
}

// -1 with errno 0: it is not there, which is what is wanted.
static int open_cgroup(const char *path, struct err *e) {
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  struct statfs info;
  *e = (struct err){0};
  if (fd < 0 && errno == ENOENT) return -1;
  if (fd < 0 || fstatfs(fd, &info) < 0) {
    fail_errno(e, "open cgroup", path);
    return -1;
  }
  const bool is_cgroup = info.f_type == CGROUP_SUPER_MAGIC || info.f_type == CGROUP2_SUPER_MAGIC;
  if (!is_cgroup || is_hierarchy_root(fd)) {
    fail(e, EINVAL, is_cgroup ? "end cgroup (the root of a hierarchy)" : "end cgroup (not a cgroup)", path);
    return -1;
  }
  return keep_fd(&fd);
}

// Calls `visit` for every cgroup below `dir`, the deepest first, and for `dir` itself.
static bool walk(int dir, int depth, bool (*visit)(int dir, void *), void *argument) {
  if (depth > DEPTH) return false;
  DIR *entries = open_entries(dir);
  if (entries == NULL) return errno == ENOENT;
  bool good = true;
  for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    AUTO_CLOSE int child = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (child >= 0) good = walk(child, depth + 1, visit, argument) && good;
  }
  closedir(entries);
  return visit(dir, argument) && good;
}

struct visitor {
  void (*visit)(pid_t pid, void *argument);
  void *argument;
};

static bool visit_here(int dir, void *argument) {
  const struct visitor *v = argument;
  AUTO_CLOSE int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
  if (file == NULL) return true;
  fd = -1;
  char line[32];
  while (fgets(line, sizeof line, file) != NULL) {
    uint64_t pid;
    line[strcspn(line, "\n")] = '\0';
    if (parse_number(line, INT32_MAX, &pid) && pid > 0) v->visit((pid_t)pid, v->argument);
  }
  fclose(file);
  return true;
}

void cgroup_visit(const char *path, void (*visit)(pid_t pid, void *argument), void *argument) {
  struct err ignored;
  struct visitor v = {visit, argument};
  AUTO_CLOSE int dir = open_cgroup(path, &ignored);
  if (dir >= 0) walk(dir, 0, visit_here, &v);
}

struct batch {
  pid_t pids[BATCH];
  size_t count;
};

static void add_to_batch(pid_t pid, void *argument) {
  struct batch *b = argument;
  if (b->count < BATCH) b->pids[b->count++] = pid;
}

// At most BATCH numbers; the caller comes again until there are none.
static void read_pids(int dir, struct batch *b) {
  b->count = 0;
  visit_here(dir, &(struct visitor){add_to_batch, b});
}

static bool contains(const struct batch *b, pid_t pid) {
  for (size_t i = 0; i < b->count; i++)
    if (b->pids[i] == pid) return true;
  return false;
}

struct killing {
  size_t found;
};

// A number that was read may be another process's a moment later: its pidfd is opened, and only if the number is still
// listed after that is it the cgroup's own.
static bool kill_here(int dir, void *argument) {
  struct killing *k = argument;
  struct batch first, second;
  int pidfds[BATCH];
  read_pids(dir, &first);
  for (size_t i = 0; i < first.count; i++) pidfds[i] = sys_pidfd_open(first.pids[i]);
  read_pids(dir, &second);
  for (size_t i = 0; i < first.count; i++) {
    if (pidfds[i] >= 0 && contains(&second, first.pids[i]) && first.pids[i] != getpid())
      sys_pidfd_send_signal(pidfds[i], SIGKILL);
    close_fd(&pidfds[i]);
  }
  k->found += first.count;
  return true;
}

static bool write_if_there(int dir, const char *file, const char *value) {
  struct err ignored;
  return write_file_at(dir, file, value, strlen(value), &ignored);
}

// v1 keeps a frozen process alive until it is thawed; v2 does not, and what is new in it is frozen, too.
static bool freeze(int dir, bool frozen) {
  return write_if_there(dir, "freezer.state", frozen ? "FROZEN" : "THAWED") ||
         write_if_there(dir, "cgroup.freeze", frozen ? "1" : "0");
}

static bool thaw_here(int dir, void *argument) {
  (void)argument;
  freeze(dir, false);
  return true;
}

// v2 says it of the whole subtree, also where cgroup.procs cannot be read (threaded cgroups).
static bool is_populated(int dir) {
  char text[256];
  struct err ignored;
  return read_file_at(dir, "cgroup.events", text, sizeof text, NULL, &ignored) && strstr(text, "populated 1") != NULL;
}

static size_t kill_once(const char *const *dirs, const int *fds, size_t n, struct err *e) {
  struct killing k = {0};
  for (size_t i = 0; i < n; i++) {
    if (fds[i] < 0 || (cgroup_kill_file && write_if_there(fds[i], "cgroup.kill", "1"))) continue;
    freeze(fds[i], true);
  }
  for (size_t i = 0; i < n; i++)
    if (fds[i] >= 0 && !walk(fds[i], 0, kill_here, &k)) fail(e, ELOOP, "end cgroup (too deep)", dirs[i]);
  // A container may have frozen cgroups of its own, and only what is thawed can die.
  for (size_t i = 0; i < n; i++) {
    if (fds[i] < 0) continue;
    walk(fds[i], 0, thaw_here, NULL);
    if (is_populated(fds[i])) k.found++;
  }
  return k.found;
}

static bool kill_until_empty(const char *const *dirs, const int *fds, size_t n, struct err *e) {
  const uint64_t until = monotonic_ms() + KILL_MS;
  for (useconds_t pause = 200; kill_once(dirs, fds, n, e) > 0; pause = pause < 20000 ? pause * 2 : pause) {
    if (e->number != 0) return false;
    if (monotonic_ms() >= until) return fail(e, EBUSY, "kill all in cgroup", dirs[0]);
    usleep(pause);
  }
  return e->number == 0;
}

bool cgroup_kill_all(const char *const *dirs, size_t n, struct err *e) {
  *e = (struct err){0};
  AUTO_FREE int *fds = calloc(n + 1, sizeof *fds);
  if (fds == NULL) return fail(e, ENOMEM, "kill all in cgroup", n > 0 ? dirs[0] : "");
  size_t opened = 0;
  for (; opened < n && e->number == 0; opened++) fds[opened] = open_cgroup(dirs[opened], e);
  const bool good = e->number == 0 && kill_until_empty(dirs, fds, n, e);
  for (size_t i = 0; i < opened; i++) close_fd(&fds[i]);
  return good;
}

// The directory itself cannot be removed by its descriptor: each removes its children.
static bool remove_children(int dir, void *argument) {
  DIR *entries = open_entries(dir);
  (void)argument;
  if (entries == NULL) return errno == ENOENT;
  bool good = true;
  for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
      good = (unlinkat(dir, entry->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT) && good;
  closedir(entries);
  return good;
}

static bool remove_one(const char *path, struct err *e) {
  AUTO_CLOSE int fd = open_cgroup(path, e);
  if (fd < 0) return e->number == 0;
  const uint64_t until = monotonic_ms() + REMOVE_MS;
  for (useconds_t pause = 200;; pause = pause < 20000 ? pause * 2 : pause) {
    if (rmdir(path) == 0 || errno == ENOENT) return true;
    if (errno != EBUSY || monotonic_ms() >= until) return fail_errno(e, "remove cgroup", path);
    // EBUSY has three causes: cgroups below, processes that still go, references that the kernel still drops.
    walk(fd, 0, remove_children, NULL);
    usleep(pause);
  }
}

bool cgroup_remove(const char *const *dirs, size_t n, struct err *e) {
  struct err first = {0};
  for (size_t i = 0; i < n; i++)
    if (!remove_one(dirs[i], e) && first.number == 0) first = *e;
  *e = first;
  return first.number == 0;
}

int role_cgroup_end(int argc, char **argv) {
  struct err e = {0};
  if (argc > 0 && strcmp(argv[0], "--without-kill-file") == 0) {
    cgroup_kill_file = false;
    argc--;
    argv++;
  }
  const char *const *dirs = (const char *const *)argv;
  if (cgroup_kill_all(dirs, (size_t)argc, &e) && cgroup_remove(dirs, (size_t)argc, &e)) return 0;
  write_error(1, 0, &e);
  return 1;
}
