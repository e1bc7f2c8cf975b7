#include "../common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static uint32_t state = 1;

static uint32_t random_below(uint32_t below) {
  state = state * 1664525u + 1013904223u;
  return (uint32_t)(((uint64_t)state * below) >> 32);
}

static void test_numbers(void) {
  static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1a", "18446744073709551616", "99999999999999999999999"};
  uint64_t value = 7;
  bool refused = true;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) refused = refused && !parse_number(bad[i], UINT64_MAX, &value);
  claim(refused, "what is not digits only, or passes 64 bits, is no number");
  claim(value == 7, "a refused number leaves the result as it was");
  claim(parse_number("18446744073709551615", UINT64_MAX, &value) && value == UINT64_MAX, "the largest number is read");
  claim(parse_number("007", 10, &value) && value == 7, "leading zeros are digits");
  claim(parse_number("10", 10, &value) && !parse_number("11", 10, &value), "the limit itself is allowed, one more is not");
}

static void test_fields(void) {
  struct builder b = {0};
  add_number(&b, UINT64_MAX);
  add_string(&b, "text", 4);
  add_string(&b, "a\0b", 3);
  add_string(&b, "", 0);
  struct reader r = {.at = b.data, .end = b.data + b.length};
  size_t length = 0;
  claim(read_number(&r) == UINT64_MAX && strcmp(read_string(&r, NULL), "text") == 0, "fields come back as they were written");
  const char *bytes = read_string(&r, &length);
  claim(length == 3 && memcmp(bytes, "a\0b", 4) == 0, "bytes may hold a zero, and end with one");
  claim(strcmp(read_string(&r, &length), "") == 0 && length == 0 && reader_done(&r), "an empty field is a field");
  claim(read_number(&r) == 0 && r.bad, "reading past the end makes the reader bad");
  builder_free(&b);
  add_number(&b, 7);
  r = (struct reader){.at = b.data, .end = b.data + b.length};
  read_string(&r, NULL);
  claim(r.bad, "a number's bytes are no C string when a zero is among them");
  builder_free(&b);
  add_string(&b, "a\0b", 3);
  r = (struct reader){.at = b.data, .end = b.data + b.length};
  claim(strcmp(read_string(&r, NULL), "") == 0 && r.bad, "a C string with a zero inside is refused");
  builder_free(&b);
}

// The copy has exactly its length, so that the sanitizer sees any read past it.
static bool read_any(const uint8_t *bytes, size_t length) {
  uint8_t *copy = malloc(length == 0 ? 1 : length);
  if (copy == NULL) return false;
  memcpy(copy, bytes, length);
  struct reader r = {.at = copy, .end = copy + length};
  size_t total = 0;
  for (int i = 0; i < 8; i++) {
    size_t size = 0;
    if (random_below(2)) read_number(&r);
    else total += strlen(read_string(&r, random_below(2) ? &size : NULL)) + size;
  }
  const bool inside = r.at >= copy && r.at <= copy + length && total < 1000000;
  free(copy);
  return inside;
}

static void test_fuzz(void) {
  bool inside = true;
  for (int round = 0; round < 200000; round++) {
    struct builder b = {0};
    for (uint32_t i = random_below(5); i > 0; i--) {
      if (random_below(2)) add_number(&b, random_below(1000));
      else add_string(&b, "some text here", random_below(15));
    }
    for (uint32_t i = random_below(4); b.length > 0 && i > 0; i--)
      b.data[random_below((uint32_t)b.length)] = (uint8_t)random_below(256);
    inside = read_any(b.data == NULL ? (const uint8_t *)"" : b.data, random_below((uint32_t)b.length + 1)) && inside;
    builder_free(&b);
  }
  claim(inside, "200,000 broken payloads are read without passing their end");
}

static void test_frames(void) {
  uint8_t header[FRAME_HEADER];
  struct frame f = {.length = FRAME_LIMIT, .type = 27, .id = 0xdeadbeef}, back;
  pack_header(header, &f);
  claim(unpack_header(header, &back) && back.length == f.length && back.type == 27 && back.id == f.id,
        "a header comes back as it was packed");
  f.length = FRAME_LIMIT + 1;
  pack_header(header, &f);
  claim(!unpack_header(header, &back), "a payload over the limit is refused");
  f.length = 1;
  pack_header(header, &f);
  header[6] = 1;
  claim(!unpack_header(header, &back), "the two zero bytes must be zero");
  claim(!write_frame(1, 1, 1, "", FRAME_LIMIT + 1) && errno == EMSGSIZE, "a payload over the limit is not written");
}

static void test_errors(void) {
  char long_object[1000];
  struct err e;
  memset(long_object, 'x', sizeof long_object - 1);
  long_object[sizeof long_object - 1] = '\0';
  errno = EPERM;
  claim(!fail_errno(&e, "mount", long_object) && e.number == EPERM && strlen(e.object) == sizeof e.object - 1,
        "an object that is too long is cut, and its error told");
  int pipes[2];
  if (pipe2(pipes, O_CLOEXEC) < 0) return claim(false, "pipe");
  write_error(pipes[1], 9, &(struct err){.number = 13, .what = "open", .object = "/x"});
  uint8_t bytes[256];
  const ssize_t n = read(pipes[0], bytes, sizeof bytes);
  struct frame f = {0};
  const bool whole = n > FRAME_HEADER && unpack_header(bytes, &f) && f.length + FRAME_HEADER == (size_t)n;
  struct reader r = {.at = bytes + FRAME_HEADER, .end = bytes + (n > FRAME_HEADER ? n : FRAME_HEADER)};
  claim(whole && f.type == FRAME_ERROR && f.id == 9 && read_number(&r) == 13 && strcmp(read_string(&r, NULL), "open") == 0 &&
            strcmp(read_string(&r, NULL), "/x") == 0 && reader_done(&r),
        "an error frame carries errno, operation and object");
  close_fd(&pipes[0]);
  close_fd(&pipes[1]);
  claim(pipes[0] == -1, "close_fd marks what it closed");
}

static void test_files(void) {
  char directory[] = "/tmp/berth-native-XXXXXX", small[4];
  struct err e = {0};
  if (mkdtemp(directory) == NULL) return claim(false, "mkdtemp");
  AUTO_CLOSE int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  AUTO_CLOSE int file = openat(dir, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  claim(!write_file_at(dir, "none", "x", 1, &e) && e.number == ENOENT, "writing makes no file");
  claim(write_file_at(dir, "file", "abcd", 4, &e), "a file is written");
  claim(!read_file_at(dir, "file", small, sizeof small, NULL, &e) && e.number == EFBIG, "a file that fills the buffer is refused, not cut");
  size_t length = 0;
  char enough[5];
  claim(read_file_at(dir, "file", enough, sizeof enough, &length, &e) && length == 4 && strcmp(enough, "abcd") == 0, "a file is read with its length");
  symlinkat("file", dir, "link");
  claim(!write_file_at(dir, "link", "x", 1, &e) && e.number == ELOOP && !read_file_at(dir, "link", enough, 5, NULL, &e), "links are not followed");
  unlinkat(dir, "link", 0);
  unlinkat(dir, "file", 0);
  rmdir(directory);
}

static void test_process_state(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    sigset_t mask;
    struct sigaction action;
    signal(SIGPIPE, SIG_IGN);
    sigfillset(&mask);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    umask(0);
    reset_signals();
    reset_process_state();
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigaction(SIGPIPE, NULL, &action);
    const bool good = !sigismember(&mask, SIGTERM) && action.sa_handler == SIG_DFL && umask(0) == 0022 &&
                      prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
    _exit(good ? 0 : 1);
  }
  int status = 1;
  waitpid(pid, &status, 0);
  claim(WIFEXITED(status) && WEXITSTATUS(status) == 0, "signals, mask, umask and dumpable are reset");
}

int main(void) {
  test_numbers();
  test_fields();
  test_fuzz();
  test_frames();
  test_errors();
  test_files();
  test_process_state();
  return tap_done();
}
