#include "../unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../layer.h"
#include "tap.h"

static uint32_t state = 1;
static uint32_t random_below(uint32_t below) {
  state = state * 1664525u + 1013904223u;
  return (uint32_t)(((uint64_t)state * below) >> 32);
}

// --- archives made here ---

struct archive {
  uint8_t data[64 * 1024];
  size_t length;
};

static void set_sum(uint8_t *block) {
  unsigned sum = 0;
  memset(block + 148, ' ', 8);
  for (size_t i = 0; i < TAR_BLOCK; i++) sum += block[i];
  (void)snprintf((char *)block + 148, 8, "%06o", sum);
}

static void add(struct archive *a, char type, const char *name, const char *link, const void *data, size_t size) {
  uint8_t *block = a->data + a->length;
  memset(block, 0, TAR_BLOCK);
  memcpy(block, name, strnlen(name, 100));
  memcpy(block + 100, "0000755", 8);
  memcpy(block + 108, "0000000", 8);
  memcpy(block + 116, "0000000", 8);
  (void)snprintf((char *)block + 124, 12, "%011zo", size);
  memcpy(block + 136, "14000000000", 12);
  block[156] = (uint8_t)type;
  memcpy(block + 157, link, strnlen(link, 100));
  memcpy(block + 257, "ustar\00000", 8);
  memcpy(block + 329, "0000001", 8);
  memcpy(block + 337, "0000003", 8);
  set_sum(block);
  a->length += TAR_BLOCK;
  memset(a->data + a->length, 0, (size + 511) / 512 * 512);
  if (size > 0) memcpy(a->data + a->length, data, size);
  a->length += (size + 511) / 512 * 512;
}

static void add_end(struct archive *a) {
  memset(a->data + a->length, 0, 1024);
  a->length += 1024;
}

static void add_pax(struct archive *a, const char *records) { add(a, 'x', "pax", "", records, strlen(records)); }

// --- running them ---

static char directory[] = "/tmp/berth-unpack-XXXXXX";

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk) {
  (void)info, (void)type;
  return walk->level == 0 ? 0 : remove(path);
}

static void empty_directory(void) { (void)nftw(directory, remove_one, 32, FTW_DEPTH | FTW_PHYS); }

static int memory_file(const void *data, size_t length) {
  int fd = memfd_create("test", MFD_CLOEXEC);
  if (fd < 0 || !write_all(fd, data, length) || lseek(fd, 0, SEEK_SET) < 0) abort();
  return fd;
}

static bool unpack_bytes(const void *data, size_t length, struct err *e) {
  int from = memory_file(data, length), to = memory_file("", 0);
  int root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool good = unpack_stream(root, from, to, e);
  close(from);
  close(to);
  close(root);
  return good;
}

static bool unpacks(struct archive *a, struct err *e) {
  const bool good = unpack_bytes(a->data, a->length, e);
  empty_directory();
  return good;
}

static void sample(struct archive *a) {
  a->length = 0;
  add(a, '5', "./", "", "", 0);
  add(a, '5', "dir", "", "", 0);
  add(a, '0', "dir/file", "", "content", 7);
  add(a, '2', "link", "dir", "", 0);
  add(a, '0', "link/through", "", "x", 1);
  add(a, '1', "hard", "dir/file", "", 0);
  add(a, '3', "null", "", "", 0);
  add(a, '0', "dir/.wh.gone", "", "", 0);
  add_pax(a, "19 path=a/long/one\n30 mtime=1600000000.123456789\n25 SCHILY.xattr.user.a=1\n");
  add(a, '0', "short", "", "", 0);
  add(a, 'L', "././@LongLink", "", "long/gnu/name", 14);
  add(a, '0', "cut", "", "data", 4);
  add(a, '5', "link", "", "", 0);
  add(a, '1', "missing", "not/here", "", 0);
  add_end(a);
}

static void test_paths(void) {
  static const struct {
    const char *name, *clean;
  } good[] = {{"a/b", "a/b"}, {"/a//b/", "a/b"}, {"./a/./b", "a/b"}, {"a/../b", "b"}, {"a/b/..", "a"},
              {"./", ""},     {"/", ""},         {"a/..", ""},       {"...", "..."},  {"a/..b", "a/..b"}};
  static const char *const bad[] = {"..", "../a", "/..", "a/../..", "./../a", "a/b/../../../c"};
  char out[TAR_PATH_LIMIT];
  bool right = true;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    right = right && clean_path(good[i].name, out) && strcmp(out, good[i].clean) == 0;
  claim(right, "names are cleaned as containers' unpackers do");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) right = right && !clean_path(bad[i], out);
  claim(right, "a name that leaves the root is no path");
}

static void test_whole(void) {
  static struct archive a;
  struct err e = {0};
  sample(&a);
  claim(unpacks(&a, &e), "an archive with every kind of entry unpacks");
  bool refused = true;
  for (size_t length = 0; length < a.length - 1024; length++) {
    // At the end of an entry the archive may end.
    if (length % TAR_BLOCK == 0) continue;
    struct err cut = {0};
    refused = refused && !unpack_bytes(a.data, length, &cut) && cut.number == EPIPE;
    empty_directory();
    length += random_below(40);
  }
  claim(refused, "an archive that is cut inside a block or an entry is refused as truncated");
}

static void test_pax(void) {
  static const char *const bad[] = {"0 path=a\n",  "99 path=a\n",  "x path=a\n", "8 path=a",         "9 path=a\nx", "3 =\n",
                                    "5 =a\n",      "9999999999999999999999 a=b\n", "-9 path=a\n", "9path=a\n\n", "10 size=-1\n",
                                    "12 mtime=1x\n", "13 uid=1e100\n", "12 size=0x1\n"};
  bool refused = true;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    static struct archive a;
    struct err e = {0};
    a.length = 0;
    add_pax(&a, bad[i]);
    add(&a, '0', "f", "", "", 0);
    add_end(&a);
    refused = refused && !unpacks(&a, &e) && e.number == EINVAL;
  }
  claim(refused, "a pax header with one wrong byte of its form is refused");
}

static void test_header_bytes(void) {
  static struct archive a;
  struct err e = {0};
  static const size_t fields[] = {100, 108, 116, 124, 136};
  bool refused = true;
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    a.length = 0;
    add(&a, '0', "f", "", "", 0);
    a.data[fields[i]] = '9';
    set_sum(a.data);
    add_end(&a);
    refused = refused && !unpacks(&a, &e) && e.number == EINVAL;
    memset(a.data + fields[i], 0xff, 8);
    a.data[fields[i]] = 0xbf;  // base-256 that no 64 bits hold
    set_sum(a.data);
    refused = refused && !unpacks(&a, &e);
  }
  claim(refused, "a number that is not octal, or too wide, is refused in every field");
  a.length = 0;
  add(&a, 'x', "huge", "", "", 0);
  memcpy(a.data + 124, "77777777777", 12);
  set_sum(a.data);
  claim(!unpacks(&a, &e) && e.number == E2BIG, "a pax header of eight gigabytes is refused before it is read");
  a.length = 0;
  add(&a, '0', "f", "", "", 0);
  a.data[0]++;
  claim(!unpacks(&a, &e) && strstr(e.what, "checksum") != NULL, "a header whose checksum is wrong is refused");
}

// Bytes at random, half of the time with a checksum that fits. The sanitizers judge; a failure must say why.
static void test_mutations(void) {
  static struct archive a;
  bool told = true;
  unsigned good = 0, bad = 0;
  for (int round = 0; round < 1500; round++) {
    sample(&a);
    const uint32_t changes = 1 + random_below(6);
    for (uint32_t i = 0; i < changes; i++) {
      const size_t at = random_below((uint32_t)a.length);
      a.data[at] = (uint8_t)random_below(256);
      if (random_below(4) > 0) set_sum(a.data + at / TAR_BLOCK * TAR_BLOCK);
    }
    struct err e = {0};
    if (unpacks(&a, &e)) good++;
    else bad++, told = told && e.number != 0 && e.what[0] != 0 && e.object[0] != 0;
  }
  claim(told && good > 0 && bad > 0, "fifteen hundred damaged archives unpack or are refused with action, object and cause");
  struct stat info;
  claim(stat("/tmp/escape", &info) < 0 && errno == ENOENT, "none of them made anything elsewhere");
}

static void test_noise(void) {
  static uint8_t noise[8192];
  bool refused = true;
  for (int round = 0; round < 300; round++) {
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)random_below(256);
    if (round % 2 == 0) set_sum(noise);
    struct err e = {0};
    refused = refused && !unpack_bytes(noise, sizeof noise, &e);
    empty_directory();
  }
  claim(refused, "noise is no archive");
}

static void test_view(void) {
  struct err e = {0};
  struct view v = {0};
  struct seen seen;
  char lower[64], upper[64], path[TAR_PATH_LIMIT];
  (void)snprintf(lower, sizeof lower, "%s/lower", directory);
  (void)snprintf(upper, sizeof upper, "%s/upper", directory);
  char *layers[] = {upper, lower};
  bool made = mkdir(lower, 0755) == 0 && mkdir(upper, 0755) == 0;
  int l = open(lower, O_RDONLY | O_DIRECTORY), u = open(upper, O_RDONLY | O_DIRECTORY);
  made = made && mkdirat(l, "d", 0700) == 0 && mkdirat(u, "d", 0755) == 0 && mkdirat(l, "d/in", 0755) == 0 &&
         mknodat(l, "d/file", S_IFREG | 0644, 0) == 0 && mknodat(l, "gone", S_IFREG | 0644, 0) == 0 &&
         mknodat(u, "gone", S_IFCHR, 0) == 0 && symlinkat("/d/../d/in", l, "abs") == 0 &&
         symlinkat("loop", l, "loop") == 0 && symlinkat("../../../d", l, "up") == 0;
  claim(made && view_open(&v, layers, 2, &e), "two layers open as one view");
  claim(view_look(&v, "d", &seen, &e) && seen.found && (seen.info.st_mode & 0777) == 0755, "the upper directory shows");
  claim(view_look(&v, "d/file", &seen, &e) && seen.found && view_look(&v, "d/in", &seen, &e) && seen.found,
        "what only the lower has shows through it");
  claim(view_look(&v, "gone", &seen, &e) && !seen.found, "a whiteout hides the lower file");
  claim(view_look(&v, "d/file/x", &seen, &e) && !seen.found && view_look(&v, "abs/x", &seen, &e) && !seen.found,
        "nothing is below a file, nor below a link that is not followed");
  claim(view_resolve(&v, "abs", true, path, &e) && strcmp(path, "d/in") == 0, "an absolute link leads inside the root");
  claim(view_resolve(&v, "abs", false, path, &e) && strcmp(path, "abs") == 0, "the last link stays when it is asked for");
  claim(view_resolve(&v, "up/in/new/x", true, path, &e) && strcmp(path, "d/in/new/x") == 0, "missing names stay as they are");
  claim(!view_resolve(&v, "loop/x", true, path, &e) && e.number == ELOOP, "a loop of links is an error");
  view_close(&v);
  close(l);
  close(u);
  empty_directory();
}

static void test_fields(void) {
  static char endless[1 << 20];
  memset(endless, 'x', sizeof endless);
  struct fields f = {.in = fmemopen(endless, sizeof endless, "r")};
  const bool cut = f.in != NULL && next_field(&f) == NULL;
  claim(cut && ftell(f.in) <= (long)TAR_PATH_LIMIT, "a field without an end is given up where the longest one ends");
  if (f.in != NULL) fclose(f.in);
  f = (struct fields){.in = fopen("/dev/zero", "r"), .text = f.text};
  while (f.in != NULL && f.total <= 2 * RECORDS_LIMIT && next_field(&f) != NULL) continue;
  claim(f.total == RECORDS_LIMIT + 1, "fields without an end are given up where the longest report ends");
  if (f.in != NULL) fclose(f.in);
  free(f.text);
}

// --- the jail ---

static int try_socket(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static int try_fork(void) { return fork() == 0 ? _exit(0), 0 : 0; }
static int try_exec(void) { return execl("/proc/self/exe", "x", NULL); }
static int try_mount(void) { return (int)syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL); }
static int try_kill(void) { return kill(getppid(), 0); }
static int try_owner(void) { return fcntl(STDOUT_FILENO, F_SETOWN, getppid()); }
static int try_signal(void) { return fcntl(STDOUT_FILENO, F_SETSIG, SIGKILL); }
static int try_async(void) { return fcntl(STDOUT_FILENO, F_SETFL, O_ASYNC); }
static int try_copy(void) { return close(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)); }
static int try_outside(void) { return open("/etc/passwd", O_RDONLY) < 0 && errno == ENOENT ? 0 : 1; }
static int try_up(void) { return open("../../../../etc/passwd", O_RDONLY) < 0 && errno == ENOENT ? 0 : 1; }
static int try_inside(void) { return close(open("inside", O_WRONLY | O_CREAT, 0600)); }
static int try_many(void) {
  int fd;
  while ((fd = open("/", O_RDONLY)) >= 0 && fd < 5000) continue;
  return fd < 0 && errno == EMFILE ? 0 : 1;
}

static int try_loop(void) {
  volatile bool on = true;
  while (on) continue;
  return 0;
}

static int ended(int (*try)(void)) {
  int status = -1;
  const pid_t pid = fork();
  if (pid == 0) {
    struct err e = {0};
    const int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || !unpack_confine(dir, 2, &e)) _exit(99);
    syscall(SYS_exit_group, try() == 0 ? 0 : 1);  // the sanitizer's own _exit makes other calls
  }
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_jail(void) {
  int (*const killed[])(void) = {try_socket, try_fork, try_exec, try_mount, try_kill,
                                   try_owner,  try_signal, try_async};
  bool dies = true;
  for (size_t i = 0; i < sizeof killed / sizeof *killed; i++) dies = dies && ended(killed[i]) == -SIGSYS;
  claim(dies, "a confined process that makes a socket, a process or a mount, executes or signals, also through a pipe, is killed");
  claim(ended(try_copy) == 0, "it copies a descriptor");
  claim(ended(try_outside) == 0 && ended(try_up) == 0, "it finds nothing of the host by any name");
  claim(ended(try_inside) == 0, "it writes in its layer");
  claim(ended(try_loop) == -SIGKILL, "it is killed when it does not end");
  claim(ended(try_many) == 0, "it has no more than 4,096 descriptors");
  empty_directory();
}

int main(void) {
  if (mkdtemp(directory) == NULL) return 1;
  umask(0);
  test_paths();
  test_whole();
  test_pax();
  test_header_bytes();
  test_mutations();
  test_noise();
  test_view();
  test_fields();
  test_jail();
  claim(rmdir(directory) == 0, "nothing is left");
  return tap_done();
}
