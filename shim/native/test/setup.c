// What the agent makes at boot; wants root, as all that it tests does.
#include "../setup.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "../spawn.h"
#include "../sys.h"
#include "tap.h"

static int template = -1, proc = -1;

static size_t lines(const char *text) {
  size_t count = 0;
  for (; *text != '\0'; text++) count += *text == '\n';
  return count;
}

// In the template, looked at through the host's /proc that was opened before.
static int inside(void *argument) {
  char text[4096], path[48];
  struct err e;
  struct stat info;
  (void)argument;
  snprintf(path, sizeof path, "%d/mountinfo", (int)getpid());
  if (setns(template, CLONE_NEWNS) < 0) return 1;
  if (!read_file_at(proc, path, text, sizeof text, NULL, &e) || lines(text) != 1) return 2;
  if (stat("/root", &info) < 0 || !S_ISDIR(info.st_mode) || stat("/", &info) < 0 || (info.st_mode & 07777) != 0555) return 3;
  if (mkdir("/root/x", 0755) == 0 || errno != EROFS) return 4;
  if (mkdir("/x", 0755) == 0 || errno != EROFS) return 5;
  return unshare(CLONE_NEWNS) < 0 ? 6 : 0;
}

static ino_t own_namespace(void) {
  struct stat info = {0};
  return stat("/proc/self/ns/mnt", &info) == 0 ? info.st_ino : 0;
}

int main(void) {
  struct err e = {0};
  const ino_t before = own_namespace();
  if (getuid() != 0) {
    claim(false, "these tests run as root");
    return tap_done();
  }
  proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  template = make_mount_template(&e);
  claim(template >= 0, "the mount template is made");
  claim(run_in_child(0, inside, NULL), "it holds one mount with /root in it, which nobody can write");
  claim(own_namespace() == before && access("/usr", F_OK) == 0, "its maker stays in its own mount namespace");

  AUTO_CLOSE int sealed = open_own_program(true, &e);
  AUTO_CLOSE int mounted = open_own_program(false, &e);
  claim(sealed >= 0 && mounted >= 0, "the own program is opened both ways");
  const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  claim(fcntl(sealed, F_GET_SEALS) == seals, "the copy in memory has all seals");
  claim(write(sealed, "x", 1) < 0, "it is not open for writing");
  char path[48];
  snprintf(path, sizeof path, "/proc/self/fd/%d", sealed);
  AUTO_CLOSE int writable = open(path, O_RDWR | O_CLOEXEC);
  claim(writable < 0 || write(writable, "x", 1) < 0, "opened for writing, it still cannot be written");
  snprintf(path, sizeof path, "/proc/self/fd/%d", mounted);
  AUTO_CLOSE int through_mount = open(path, O_RDWR | O_CLOEXEC);
  struct statvfs mount_info = {0};
  // ETXTBSY as long as it runs; the mount's flag is what holds after that.
  claim(through_mount < 0 && fstatvfs(mounted, &mount_info) == 0 && (mount_info.f_flag & ST_RDONLY) != 0,
        "the read-only mount of it cannot be opened for writing");

  const uint64_t features = probe_features(template);
  claim((features & FEATURE_RECURSIVE_READ_ONLY) != 0, "a kernel from 5.14 on has recursive read-only mounts");
  claim(probe_features(template) == features, "asking twice gives the same features");
  claim(own_namespace() == before, "asking leaves the own mount namespace alone");
  close_fd(&template);
  close_fd(&proc);
  return tap_done();
}
