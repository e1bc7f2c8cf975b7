#include "log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "sys.h"

static struct scratch *scratch;

struct scratch *scratch_get(void) {
  if (scratch != NULL) return scratch;
  void *memory = mmap(NULL, sizeof *scratch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) scratch = memory;
  return scratch;
}

bool scratch_release(void) {
  if (scratch == NULL) return false;
  munmap(scratch, sizeof *scratch);
  scratch = NULL;
  return true;
}

// Without slashes at its end: with one, O_NOFOLLOW would follow.
static size_t length_of(const char *directory) {
  size_t length = strlen(directory);
  while (length > 1 && directory[length - 1] == '/') length--;
  return length;
}

// The path relative to the directory, NULL when it is not below it.
static const char *below(const char *path, const char *directory) {
  size_t length = length_of(directory);
  if (strncmp(path, directory, length) != 0 || path[length] != '/') return NULL;
  while (path[length] == '/') length++;
  return path[length] == '\0' ? NULL : path + length;
}

static int open_file(const char *path, const char *directory, struct err *e) {
  const char *relative = below(path, directory);
  if (relative == NULL) return fail(e, EINVAL, "open log", path), -1;
  char name[PATH_MAX];
  const int length = snprintf(name, sizeof name, "%.*s", (int)length_of(directory), directory);
  if ((size_t)length >= sizeof name) return fail(e, ENAMETOOLONG, "open log directory", directory), -1;
  AUTO_CLOSE int dir = openat(AT_FDCWD, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (dir < 0) return fail_errno(e, "open log directory", directory), -1;
  // O_NONBLOCK: a FIFO without a reader is an error, not a wait (CVE-2026-53489).
  const uint64_t flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  AUTO_CLOSE int fd = sys_openat2(dir, relative, flags, 0640, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (fd < 0) return fail_errno(e, "open log", path), -1;
  struct stat info;
  if (fstat(fd, &info) < 0) return fail_errno(e, "stat log", path), -1;
  if (!S_ISREG(info.st_mode)) return fail(e, EINVAL, "open log (not a regular file)", path), -1;
  // Another name of it may be a file that matters to somebody else: a guest that has /var/log can link, but not write, there.
  if (info.st_nlink > 1) return fail(e, EMLINK, "open log (a hard link)", path), -1;
  return keep_fd(&fd);
}

bool log_open(struct log *log, const char *path, const char *directory, struct err *e) {
  const int fd = open_file(path, directory, e);
  if (fd < 0) return false;
  *log = (struct log){.fd = fd, .path = path, .directory = directory};
  return true;
}

bool log_reopen(struct log *log, struct err *e) {
  if (log->path == NULL) return fail(e, ENOENT, "reopen log", "the container has none");
  const int fd = open_file(log->path, log->directory, e);
  if (fd < 0) return false;
  if (log->fd >= 0) close(log->fd);
  log->fd = fd;
  log->torn = false;
  return true;
}

// Records that wait for one write.
struct records {
  struct log *log;
  char *data;
  size_t length;
  char prefix[64];  // "<time> <stream> "
  size_t prefix_length;
};

static void flush(struct records *out) {
  size_t done = 0;
  while (done < out->length) {
    const ssize_t n = write(out->log->fd, out->data + done, out->length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += (size_t)n;
  }
  if (out->length > 0) out->log->torn = done > 0 ? out->data[done - 1] != '\n' : out->log->torn;
  out->length = 0;
}

static void append(struct records *out, const char *bytes, size_t length) {
  if (length > 0) memcpy(out->data + out->length, bytes, length);
  out->length += length;
}

static void emit(struct records *out, const char *tag, struct log_rest *rest, const char *bytes, size_t length) {
  if (SCRATCH_RECORDS - out->length < LOG_LINE + sizeof out->prefix + 8) flush(out);
  if (out->length == 0 && out->log->torn) append(out, "\n", 1);
  append(out, out->prefix, out->prefix_length);
  append(out, tag, 2);
  append(out, rest->data, rest->length);
  append(out, bytes, length);
  append(out, "\n", 1);
  rest->length = 0;
}

static bool begin(struct records *out, struct log *log, const char *stream) {
  struct scratch *memory = scratch_get();
  if (memory == NULL) return false;
  *out = (struct records){.log = log, .data = memory->records};
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  const size_t date = strftime(out->prefix, 32, "%Y-%m-%dT%H:%M:%S", &parts);
  const int tail = snprintf(out->prefix + date, sizeof out->prefix - date, ".%09ld+00:00 %s ", now.tv_nsec, stream);
  out->prefix_length = date + (size_t)tail;
  return true;
}

static bool keep(struct log_rest *rest, const char *bytes, size_t length) {
  char *data = realloc(rest->data, rest->length + length);
  if (data == NULL) return false;
  memcpy(data + rest->length, bytes, length);
  rest->data = data;
  rest->length += length;
  return true;
}

void log_bytes(struct log *log, const char *stream, struct log_rest *rest, const char *bytes, size_t length) {
  struct records out;
  if (log->fd < 0 || !begin(&out, log, stream)) return;
  const char *at = bytes, *end = bytes + length;
  while (at < end) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const size_t piece = (size_t)((newline != NULL ? newline : end) - at);
    if (rest->length + piece > LOG_LINE) {
      const size_t take = LOG_LINE - rest->length;
      emit(&out, "P ", rest, at, take);
      at += take;
    } else if (newline != NULL) {
      emit(&out, "F ", rest, at, piece);
      at = newline + 1;
    } else {
      // Without memory the piece goes out now: split, not lost.
      if (!keep(rest, at, piece)) emit(&out, "P ", rest, at, piece);
      at = end;
    }
  }
  flush(&out);
  if (rest->length == 0 && rest->data != NULL) {
    free(rest->data);
    rest->data = NULL;
  }
}

void log_end(struct log *log, const char *stream, struct log_rest *rest) {
  struct records out;
  if (rest->length > 0 && log->fd >= 0 && begin(&out, log, stream)) {
    emit(&out, log->exact ? "P " : "F ", rest, NULL, 0);
    flush(&out);
  }
  free(rest->data);
  *rest = (struct log_rest){0};
}
