#include "lock.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "sys.h"

#define KILL_MS 5000
#define STEP_MS 5

static int open_lock(const char *path, int flags, struct err *e) {
  AUTO_CLOSE int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) < 0) {
    fail_errno(e, "open lock", path);
    return -1;
  }
  if (!S_ISREG(info.st_mode)) {
    fail(e, EINVAL, "open lock (not a regular file)", path);
    return -1;
  }
  return keep_fd(&fd);
}

int take_lock(const char *path, struct err *e) {
  AUTO_CLOSE int fd = open_lock(path, O_RDWR | O_CREAT, e);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) < 0 || ftruncate(fd, 0) < 0) {
    fail_errno(e, errno == EWOULDBLOCK ? "lock (another process holds it)" : "lock", path);
    return -1;
  }
  return keep_fd(&fd);
}

static uint64_t recorded_group(int fd) {
  char text[24];
  const ssize_t n = pread(fd, text, sizeof text - 1, 0);
  uint64_t pid = 0;
  if (n <= 0) return 0;
  text[n] = '\0';
  text[strcspn(text, "\n")] = '\0';
  return parse_number(text, INT32_MAX, &pid) ? pid : 0;
}

// A shared lock suffices to see whether an exclusive one is held, and does not disturb others who look.
static bool is_unlocked(int fd) { return flock(fd, LOCK_SH | LOCK_NB) == 0 && flock(fd, LOCK_UN) == 0; }

bool try_lock(const char *path, bool *is_free, uint64_t *pid, struct err *e) {
  AUTO_CLOSE int fd = open_lock(path, O_RDONLY, e);
  *is_free = true;
  *pid = 0;
  if (fd < 0) return e->number == ENOENT;
  *is_free = is_unlocked(fd);
  *pid = recorded_group(fd);
  return true;
}

static bool has_open(const char *process, const struct stat *file) {
  char path[288];
  snprintf(path, sizeof path, "/proc/%s/fd", process);
  DIR *directory = opendir(path);
  bool found = false;
  struct stat info;
  for (struct dirent *entry; directory != NULL && !found && (entry = readdir(directory)) != NULL;)
    found = entry->d_name[0] != '.' && fstatat(dirfd(directory), entry->d_name, &info, 0) == 0 &&
            info.st_dev == file->st_dev && info.st_ino == file->st_ino;
  if (directory != NULL) closedir(directory);
  return found;
}

// A group's number may be another's by now: only processes that have the file open are killed, each by a descriptor
// taken before the look, and the recorded group only when one of them leads or belongs to it.
static bool kill_openers(const struct stat *file, pid_t group) {
  DIR *processes = opendir("/proc");
  if (processes == NULL) return false;
  for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
    uint64_t pid;
    if (!parse_number(entry->d_name, INT32_MAX, &pid) || pid <= 1 || (pid_t)pid == getpid()) continue;
    AUTO_CLOSE int pidfd = sys_pidfd_open((int)pid);
    // Having it open to look at it is not holding it: the agent does so, and whoever holds is started with it.
    if (pidfd < 0 || (pid_t)pid == getppid() || !has_open(entry->d_name, file)) continue;
    if (group > 1 && getpgid((pid_t)pid) == group) kill(-group, SIGKILL);
    sys_pidfd_send_signal(pidfd, SIGKILL);
  }
  closedir(processes);
  return true;
}

static bool wait_unlocked(int fd, uint64_t until) {
  while (!is_unlocked(fd)) {
    if (monotonic_ms() >= until) return false;
    usleep(STEP_MS * 1000);
  }
  return true;
}

bool end_holder(const char *path, uint64_t wait_ms, struct err *e) {
  AUTO_CLOSE int fd = open_lock(path, O_RDONLY, e);
  struct stat file;
  if (fd < 0) return e->number == ENOENT;
  if (fstat(fd, &file) < 0) return fail_errno(e, "stat", path);
  if (wait_unlocked(fd, monotonic_ms() + wait_ms)) return true;
  for (const uint64_t until = monotonic_ms() + KILL_MS; monotonic_ms() < until;) {
    if (!kill_openers(&file, (pid_t)recorded_group(fd))) return fail_errno(e, "read", "/proc");
    if (wait_unlocked(fd, monotonic_ms() + 50)) return true;
  }
  return fail(e, EBUSY, "end the holder of", path);
}
