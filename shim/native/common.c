#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

#define PROC_ROOT_INODE 1

static void copy_text(char *out, size_t size, const char *text) {
  const size_t length = strnlen(text, size - 1);
  memcpy(out, text, length);
  out[length] = '\0';
}

bool fail(struct err *e, int number, const char *what, const char *object) {
  e->number = number;
  copy_text(e->what, sizeof e->what, what);
  copy_text(e->object, sizeof e->object, object == NULL ? "" : object);
  return false;
}

bool fail_errno(struct err *e, const char *what, const char *object) { return fail(e, errno, what, object); }

void close_fd(int *fd) {
  if (*fd < 0) return;
  // A cleanup attribute runs between an error and its errno's reader.
  const int kept = errno;
  close(*fd);
  *fd = -1;
  errno = kept;
}

int keep_fd(int *fd) {
  const int kept = *fd;
  *fd = -1;
  return kept;
}

void free_pointer(void *pointer) {
  void **at = pointer;
  free(*at);
  *at = NULL;
}

static uint32_t load_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void store_u32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

// The bytes of the next field, NULL when there is none whole.
static const uint8_t *next_field(struct reader *r, size_t *length) {
  if (!r->bad && (size_t)(r->end - r->at) >= 5) {
    const size_t size = load_u32(r->at);
    const uint8_t *bytes = r->at + 4;
    if (size < (size_t)(r->end - bytes) && bytes[size] == 0) {
      r->at = bytes + size + 1;
      *length = size;
      return bytes;
    }
  }
  r->bad = true;
  *length = 0;
  return NULL;
}

uint64_t read_number(struct reader *r) {
  size_t length;
  const uint8_t *bytes = next_field(r, &length);
  if (bytes == NULL || length != 8) {
    r->bad = true;
    return 0;
  }
  return (uint64_t)load_u32(bytes) | (uint64_t)load_u32(bytes + 4) << 32;
}

const char *read_string(struct reader *r, size_t *length) {
  size_t size;
  const uint8_t *bytes = next_field(r, &size);
  // Whoever does not ask for the length takes a C string: a NUL inside would cut it, so it is refused.
  if (bytes != NULL && length == NULL && memchr(bytes, 0, size) != NULL) {
    r->bad = true;
    bytes = NULL;
  }
  if (length != NULL) *length = size;
  return bytes == NULL ? "" : (const char *)bytes;
}

bool reader_done(const struct reader *r) { return !r->bad && r->at == r->end; }

static uint8_t *grow(struct builder *b, size_t more) {
  if (b->bad) return NULL;
  if (more > SIZE_MAX / 2 - b->length) {
    b->bad = true;
    return NULL;
  }
  if (b->length + more > b->capacity) {
    size_t capacity = b->capacity == 0 ? 128 : b->capacity;
    while (capacity < b->length + more) capacity *= 2;
    uint8_t *data = realloc(b->data, capacity);
    if (data == NULL) {
      b->bad = true;
      return NULL;
    }
    b->data = data;
    b->capacity = capacity;
  }
  uint8_t *at = b->data + b->length;
  b->length += more;
  return at;
}

void add_string(struct builder *b, const void *bytes, size_t length) {
  if (length > UINT32_MAX) {
    b->bad = true;
    return;
  }
  uint8_t *at = grow(b, length + 5);
  if (at == NULL) return;
  store_u32(at, (uint32_t)length);
  if (length > 0) memcpy(at + 4, bytes, length);
  at[4 + length] = 0;
}

void add_number(struct builder *b, uint64_t value) {
  uint8_t bytes[8];
  store_u32(bytes, (uint32_t)value);
  store_u32(bytes + 4, (uint32_t)(value >> 32));
  add_string(b, bytes, sizeof bytes);
}

void add_error(struct builder *b, const struct err *e) {
  add_number(b, (uint64_t)e->number);
  add_string(b, e->what, strlen(e->what));
  add_string(b, e->object, strlen(e->object));
}

void builder_free(struct builder *b) {
  free(b->data);
  *b = (struct builder){0};
}

void pack_header(uint8_t out[FRAME_HEADER], const struct frame *f) {
  store_u32(out, f->length);
  store_u32(out + 4, f->type);
  store_u32(out + 8, f->id);
}

bool unpack_header(const uint8_t in[FRAME_HEADER], struct frame *f) {
  const uint32_t type = load_u32(in + 4);
  *f = (struct frame){.length = load_u32(in), .type = (uint16_t)type, .id = load_u32(in + 8)};
  return f->length <= FRAME_LIMIT && type <= UINT16_MAX;
}

bool write_all(int fd, const void *data, size_t length) {
  const uint8_t *at = data;
  while (length > 0) {
    const ssize_t n = write(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    at += n;
    length -= (size_t)n;
  }
  return true;
}

bool write_frame(int fd, uint16_t type, uint32_t id, const void *payload, size_t length) {
  if (length > FRAME_LIMIT) {
    errno = EMSGSIZE;
    return false;
  }
  uint8_t header[FRAME_HEADER];
  pack_header(header, &(struct frame){.length = (uint32_t)length, .type = type, .id = id});
  return write_all(fd, header, sizeof header) && write_all(fd, payload, length);
}

bool write_error(int fd, uint32_t id, const struct err *e) {
  struct builder b = {0};
  add_error(&b, e);
  const bool written = !b.bad && write_frame(fd, FRAME_ERROR, id, b.data, b.length);
  builder_free(&b);
  return written;
}

bool parse_number(const char *text, uint64_t limit, uint64_t *out) {
  if (*text == '\0') return false;
  uint64_t value = 0;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9') return false;
    const uint64_t digit = (uint64_t)(*text - '0');
    if (value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
    if (value > limit) return false;
  }
  *out = value;
  return true;
}

bool write_file_at(int dir, const char *path, const char *value, size_t length, struct err *e) {
  AUTO_CLOSE int fd = openat(dir, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return fail_errno(e, "open", path);
  // One write: kernel files take a value whole, and a second write would be another value.
  const ssize_t n = write(fd, value, length);
  if (n < 0) return fail_errno(e, "write", path);
  if ((size_t)n != length) return fail(e, EIO, "write", path);
  return true;
}

bool read_file_at(int dir, const char *path, char *buffer, size_t size, size_t *length, struct err *e) {
  AUTO_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return fail_errno(e, "open", path);
  size_t have = 0;
  for (;;) {
    const ssize_t n = read(fd, buffer + have, size - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(e, "read", path);
    have += (size_t)n;
    if (n == 0) break;
    if (have == size) return fail(e, EFBIG, "read", path);
  }
  buffer[have] = '\0';
  if (length != NULL) *length = have;
  return true;
}

int open_in_proc(int proc, const char *path, const char *what, struct err *e) {
  struct statfs fs;
  struct stat root;
  if (proc < 0 || fstatfs(proc, &fs) < 0 || fstat(proc, &root) < 0) return fail_errno(e, "open", "/proc"), -1;
  if (fs.f_type != PROC_SUPER_MAGIC || root.st_ino != PROC_ROOT_INODE)
    return fail(e, ENODEV, "open (not the root of a procfs)", "/proc"), -1;
  const int fd = sys_openat2(proc, path, O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
  if (fd < 0) fail_errno(e, what, path);
  return fd;
}

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t monotonic_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

DIR *open_entries(int dir) {
  AUTO_CLOSE int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = again < 0 ? NULL : fdopendir(again);
  if (entries != NULL) again = -1;
  return entries;
}

void set_undumpable(void) { prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

void reset_signals(void) {
  const struct sigaction by_default = {.sa_handler = SIG_DFL};
  for (int s = 1; s < NSIG; s++) sigaction(s, &by_default, NULL);
}

void reset_process_state(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  umask(0022);
  set_undumpable();
}

void raise_descriptors(void) {
  struct rlimit now;
  if (getrlimit(RLIMIT_NOFILE, &now) < 0) return;
  now.rlim_cur = now.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &now);  // less is a clear EMFILE later
}

void become_idle(void) {
  const int lowest = 3 << 13;  // IOPRIO_CLASS_IDLE of linux/ioprio.h
  (void)setpriority(PRIO_PROCESS, 0, 19);
  (void)syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, lowest);
}
