// What the containers of these tests run: one static program, one behaviour a word.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int copy(int from, int to) {
  char bytes[4096];
  ssize_t n;
  while ((n = read(from, bytes, sizeof bytes)) > 0)
    if (write(to, bytes, (size_t)n) != n) return 1;
  return n < 0;
}

static int cat(const char *path) {
  const int fd = open(path, O_RDONLY);
  if (fd < 0) return dprintf(2, "%s: %s\n", path, strerror(errno)), 1;
  return copy(fd, 1);
}

static int list(const char *path) {
  DIR *dir = opendir(path);
  if (dir == NULL) return dprintf(2, "%s: %s\n", path, strerror(errno)), 1;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
    if (entry->d_name[0] != '.') printf("%s\n", entry->d_name);
  return 0;
}

static int create(const char *path) {
  const int fd = open(path, O_WRONLY | O_CREAT, 0644);
  printf("%s\n", fd < 0 ? strerror(errno) : "made");
  return fd < 0;
}

static int lines(long count) {
  for (long i = 0; i < count; i++) printf("line %ld\n", i);
  return 0;
}

static int tick(long count) {
  for (long i = 0; i < count; i++) {
    dprintf(1, "tick %ld\n", i);
    usleep(500);
  }
  return 0;
}

// Fills memory until it is killed.
static int eat(void) {
  for (;;) {
    char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 1;
    memset(memory, 1, 1 << 20);
  }
}

// Leaves a child that keeps the streams open.
static int background(const char *seconds) {
  if (fork() == 0) {
    sleep((unsigned)atoi(seconds));
    _exit(0);
  }
  dprintf(1, "parent is done\n");
  return 0;
}

// A child, and its child in a session of its own.
static _Noreturn int family(void) {
  if (fork() == 0) {
    setsid();
    if (fork() == 0) setsid();
    for (;;) pause();
  }
  for (;;) pause();
}

// A grandchild whose parent has gone, which only then makes a session of its own and closes its streams.
static _Noreturn int escape(void) {
  if (fork() == 0) {
    if (fork() > 0) _exit(0);
    usleep(50000);
    setsid();
    for (int fd = 0; fd < 3; fd++) close(fd);
    for (;;) pause();
  }
  wait(NULL);
  for (;;) pause();
}

static int show_ids(void) {
  gid_t groups[64];
  const int n = getgroups(64, groups);
  printf("%d %d", (int)getuid(), (int)getgid());
  for (int i = 0; i < n; i++) printf(" %d", (int)groups[i]);
  printf("\n");
  return 0;
}

static _Noreturn int wait_for_end(void) {
  for (;;)
    if (waitpid(-1, NULL, 0) < 0) pause();
}

static int show_type(const char *path) {
  struct stat info;
  if (lstat(path, &info) < 0) return printf("%s\n", strerror(errno)), 1;
  printf("%o %d:%d\n", info.st_mode, (int)(info.st_rdev >> 8 & 0xff), (int)(info.st_rdev & 0xff));
  return 0;
}

static int show_terminal(void) {
  struct winsize size = {0};
  struct stat console, own;
  const int same = stat("/dev/console", &console) == 0 && fstat(0, &own) == 0 && console.st_rdev == own.st_rdev;
  ioctl(0, TIOCGWINSZ, &size);
  printf("%s %d %d %s\n", isatty(0) ? "terminal" : "none", size.ws_row, size.ws_col, same ? "console" : "other");
  return 0;
}

// Prints the terminal's size when it has changed.
static int show_resize(void) {
  sigset_t set;
  int signal;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  sigprocmask(SIG_BLOCK, &set, NULL);
  dprintf(1, "ready\n");
  return sigwait(&set, &signal) == 0 ? show_terminal() : 1;
}

// Leaves a daemon: no child of ours any more, in a session of its own, with the streams open and half a line written.
static int daemonise(void) {
  int ends[2];
  char byte;
  if (pipe(ends) < 0) return 1;
  if (fork() == 0) {
    setsid();
    if (fork() > 0) _exit(0);
    dprintf(1, "half a line");
    close(ends[1]);
    for (;;) pause();
  }
  close(ends[1]);
  wait(NULL);
  return read(ends[0], &byte, 1) == 0 ? 3 : 1;
}

static int show_cwd(void) {
  char path[4096];
  printf("%s\n", getcwd(path, sizeof path) == NULL ? strerror(errno) : path);
  return 0;
}

int main(int argc, char **argv) {
  const char *word = argc > 1 ? argv[1] : "", *value = argc > 2 ? argv[2] : "";
  if (strcmp(word, "echo") == 0) return printf("%s\n", value), 0;
  if (strcmp(word, "raw") == 0) return printf("%s", value), 0;
  if (strcmp(word, "both") == 0) return dprintf(1, "to stdout\n"), dprintf(2, "to stderr\n"), 0;
  if (strcmp(word, "exit") == 0) return atoi(value);
  if (strcmp(word, "signal") == 0) return signal(atoi(value), SIG_DFL), kill(getpid(), atoi(value)), sleep(1), 0;
  if (strcmp(word, "abort") == 0) abort();
  if (strcmp(word, "lines") == 0) return lines(atol(value));
  if (strcmp(word, "tick") == 0) return tick(atol(value));
  if (strcmp(word, "sleep") == 0) return sleep((unsigned)atoi(value)), 0;
  if (strcmp(word, "wait") == 0) return wait_for_end();
  if (strcmp(word, "eat") == 0) return eat();
  if (strcmp(word, "background") == 0) return background(value);
  if (strcmp(word, "family") == 0) return family();
  if (strcmp(word, "escape") == 0) return escape();
  if (strcmp(word, "cat") == 0) return argc > 2 ? cat(value) : copy(0, 1);
  if (strcmp(word, "list") == 0) return list(value);
  if (strcmp(word, "create") == 0) return create(value);
  if (strcmp(word, "ids") == 0) return show_ids();
  if (strcmp(word, "type") == 0) return show_type(value);
  if (strcmp(word, "terminal") == 0) return show_terminal();
  if (strcmp(word, "first") == 0) return getchar() == EOF ? 1 : show_terminal();
  if (strcmp(word, "resize") == 0) return show_resize();
  if (strcmp(word, "daemonise") == 0) return daemonise();
  if (strcmp(word, "cwd") == 0) return show_cwd();
  return dprintf(2, "guest: unknown word %s\n", word), 64;
}
