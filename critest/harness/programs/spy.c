// spy MILLISECONDS MARK: tries to reach other processes through /proc, those that are just being born first, and prints
// what it got: a root that has the path MARK, which only the host has; a directory with a supervisor's socket; and of what is
// called berth anything at all ("part of it": with CAP_SYS_PTRACE that much is the kernel's to give), and CAP_SYS_ADMIN
// ("power": who takes hold of it has that).
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *mark;
static long looked;

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int open_of(int pid, const char *name, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return open(path, flags | O_CLOEXEC);
}

static int is_berth(int pid) {
  char name[6] = "";
  int fd = open_of(pid, "comm", O_RDONLY);
  if (fd < 0) return 0;
  ssize_t n = read(fd, name, 5);
  close(fd);
  return n == 5 && strcmp(name, "berth") == 0;
}

static void try_directory(int pid, const char *name, const char *inside) {
  struct stat info;
  int fd = open_of(pid, name, O_PATH | O_DIRECTORY);
  if (fd < 0) return;
  if (fstatat(fd, inside, &info, 0) == 0) printf("host: %s of pid %d\n", name, pid);
  close(fd);
}

static void look_for_power(int pid) {
  char text[4096];
  int fd = open_of(pid, "status", O_RDONLY);
  if (fd < 0) return;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  const char *at = strstr(text, "CapPrm:");
  if (strncmp(text, "Name:\tberth", 11) == 0 && at != NULL && (strtoull(at + 7, NULL, 16) >> 21 & 1) != 0)
    printf("power of pid %d\n", pid);
}

static void look_at(int pid) {
  static const char *const files[] = {"exe", "fd", "fd/0", "fd/1", "fd/3", "fd/4", "mem", "environ", "maps", "map_files"};
  try_directory(pid, "root", mark);
  try_directory(pid, "cwd", "shim.sock");
  if (!is_berth(pid)) return;
  looked++;
  look_for_power(pid);
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    char byte;
    int fd = open_of(pid, files[i], O_RDONLY);
    if (fd < 0) continue;
    // The directory fd may be opened, its links may not be read; environ and maps open and then refuse or read as nothing.
    struct stat info;
    int directory = fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
    if (!directory && (read(fd, &byte, 1) == 1 || strcmp(files[i], "mem") == 0) && is_berth(pid))
      printf("part of it: %s of pid %d\n", files[i], pid);
    close(fd);
  }
}

static int last_pid(int loadavg) {
  char text[128];
  ssize_t n = pread(loadavg, text, sizeof text - 1, 0);
  if (n <= 0) return 1;
  text[n] = '\0';
  return atoi(strrchr(text, ' ') + 1);
}

int main(int argc, char **argv) {
  int loadavg = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  if (loadavg < 0 || argc != 3) return 1;
  long end = now_ms() + atoi(argv[1]);
  mark = argv[2] + 1;  // below the root that it is looked for in
  for (int pid = 1; pid <= last_pid(loadavg); pid++) look_at(pid);
  while (now_ms() < end) {
    int last = last_pid(loadavg);
    for (int pid = last; pid <= last + 2; pid++)
      if (pid != getpid()) look_at(pid);
  }
  printf("looked %ld\n", looked);
  return 0;
}
