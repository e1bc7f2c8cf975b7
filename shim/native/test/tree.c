// tree-remove: what containers make to stay. tree-usage: what they take away.
#include <errno.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../common.h"
#include "../sys.h"
#include "tap.h"

static char base[] = "/tmp/berth-tree-XXXXXX";

static const char *at(const char *name) {
  static char path[2][4096];
  static int turn;
  turn = !turn;
  snprintf(path[turn], sizeof path[turn], "%s/%s", base, name);
  return path[turn];
}

static bool touch(int dir, const char *name) {
  const int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

static bool there(const char *name) {
  struct stat info;
  return lstat(at(name), &info) == 0;
}

// What it writes about an error goes to a pipe that nobody reads.
static int remove_paths(int argc, const char *first, const char *second) {
  char *argv[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
  const pid_t pid = fork();
  if (pid == 0) {
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, 1);
    _exit(role_tree_remove(argc, argv));
  }
  int status = -1;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_deep(void) {
  mkdir(at("deep"), 0700);
  int dir = open(at("deep"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool made = dir >= 0;
  char name[201];
  memset(name, 'd', 200);
  name[200] = '\0';
  for (int i = 0; made && i < 5000; i++) {
    made = mkdirat(dir, name, 0) == 0 && touch(dir, "file");
    const int next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(dir);
    dir = next;
  }
  close(dir);
  claim(made && remove_paths(1, at("deep"), NULL) == 0 && !there("deep"), "a tree of 5,000 levels and a million bytes of path goes");
}

static void test_odd(void) {
  const char *const names[] = {"\n", "-rf", " ", "\xff\xfe", ".berth-0", ".berth-1", ".berth-x", "...", "*"};
  bool made = mkdir(at("odd"), 0) == 0;
  const int dir = open(at("odd"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    made = made && mkdirat(dir, names[i], 0) == 0;
    const int inner = openat(dir, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t j = 0; j < sizeof names / sizeof *names; j++) made = made && (j % 2 ? touch(inner, names[j]) : mkdirat(inner, names[j], 0) == 0);
    close(inner);
  }
  made = made && symlinkat(base, dir, "link") == 0 && mknodat(dir, "pipe", S_IFIFO | 0600, 0) == 0 && mknodat(dir, "device", S_IFCHR, 0) == 0;
  close(dir);
  touch(AT_FDCWD, at("beside"));
  claim(made && remove_paths(1, at("odd"), NULL) == 0 && !there("odd") && there("beside"), "odd names, links, pipes and devices go, what a link points to stays");
}

static void test_plain(void) {
  claim(remove_paths(2, at("missing"), at("missing/below")) == 0, "missing paths are fine");
  symlink("beside", at("link"));
  claim(remove_paths(1, at("link"), NULL) == 0 && !there("link") && there("beside"), "a link goes, its target stays");
  claim(remove_paths(1, at("beside"), NULL) == 0 && !there("beside"), "a file goes");
  claim(remove_paths(1, "/", NULL) == 1 && remove_paths(1, "name", NULL) == 1, "the root and a path that is not absolute are refused");
  claim(role_tree_remove(0, NULL) == 64, "no path is a wrong use");
}

static bool forbid(const char *name, int flags) {
  const int fd = open(at(name), O_RDONLY | O_CLOEXEC);
  const bool set = syscall(SYS_ioctl, fd, FS_IOC_SETFLAGS, &flags) == 0;
  close(fd);
  return set;
}

static void test_flags(void) {
  mkdir(at("kept"), 0700);
  mkdir(at("kept/append"), 0700);
  mkdir(at("kept/append/full"), 0700);
  touch(AT_FDCWD, at("kept/append/full/file"));
  const bool set = forbid("kept/append/full/file", FS_IMMUTABLE_FL) && forbid("kept/append/full", FS_IMMUTABLE_FL) &&
                   forbid("kept/append", FS_APPEND_FL) && forbid("kept", FS_IMMUTABLE_FL);
  claim(set, "the file system of the tests has immutable files");
  claim(remove_paths(1, at("kept"), NULL) == 0 && !there("kept"), "immutable and append-only files and directories go");
}

static bool make_wide(int parent, const char *name, int depth) {
  if (mkdirat(parent, name, 0700) < 0) return false;
  const int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool made = dir >= 0;
  for (int i = 0; made && i < 5; i++) {
    char inner[] = {(char)('a' + i), '\0'};
    made = depth > 0 ? make_wide(dir, inner, depth - 1) : touch(dir, inner);
  }
  if (made && depth == 0) made = syscall(SYS_ioctl, dir, FS_IOC_SETFLAGS, &(int){FS_IMMUTABLE_FL}) == 0;
  close(dir);
  return made;
}

static void test_together(void) {
  bool good = true;
  for (int round = 0; good && round < 20; round++) {
    good = make_wide(AT_FDCWD, at("shared"), 2);
    pid_t pids[4];
    for (int i = 0; i < 4; i++)
      if ((pids[i] = fork()) == 0) _exit(remove_paths(1, at("shared"), NULL));
    for (int i = 0; i < 4; i++) {
      int status = -1;
      waitpid(pids[i], &status, 0);
      good = status == 0 && good;
    }
    good = good && !there("shared");
  }
  claim(good, "what several remove at once goes, and none of them calls it an error");
}

static void test_usage(void) {
  mkdir(at("gone"), 0700);
  char path[32];
  const int dir = open(at("gone"), O_RDONLY | O_DIRECTORY | O_CLOEXEC), out = dup(1), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  snprintf(path, sizeof path, "/proc/self/fd/%d/.", dir);
  rmdir(at("gone"));
  fflush(stdout);
  dup2(null, 1);
  const int code = role_tree_usage(1, (char *[]){path, NULL});
  dup2(out, 1);
  close(out), close(null), close(dir);
  claim(code == 0, "a directory that goes while it is counted is no error");
}

static void test_mount(void) {
  mkdir(at("mounted"), 0700);
  mkdir(at("mounted/on"), 0700);
  const bool mounted = mount("tmpfs", at("mounted/on"), "tmpfs", 0, NULL) == 0 && touch(AT_FDCWD, at("mounted/on/file"));
  claim(mounted && remove_paths(1, at("mounted"), NULL) == 1 && there("mounted/on/file"), "a mount in the tree is an error, and not entered");
  claim(remove_paths(1, at("mounted/on"), NULL) == 1 && there("mounted/on/file"), "a mount point itself is refused before anything in it goes");
  mkdir(at("next"), 0700);
  claim(remove_paths(2, at("mounted"), at("next")) == 1 && !there("next"), "what cannot be removed keeps nothing else");
  umount2(at("mounted/on"), MNT_DETACH);
  claim(remove_paths(1, at("mounted"), NULL) == 0 && !there("mounted"), "and without the mount it goes");
}

int main(void) {
  if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, 1ul << 14 | 1ul << 18, NULL) < 0) return 1;
  if (mkdtemp(base) == NULL) return 1;
  test_deep();
  test_odd();
  test_plain();
  test_flags();
  test_together();
  test_usage();
  test_mount();
  claim(rmdir(base) == 0, "nothing is left");
  return tap_done();
}
