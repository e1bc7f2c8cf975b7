// The spawn agent: starts every process of the daemon's, which never forks itself. One thread, one poll loop.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "lock.h"
#include "net_devices.h"
#include "notify.h"
#include "setup.h"
#include "spawn.h"
#include "sys.h"

#define CONTROL_FD 3
#define STREAM_LIMIT (1u << 20)
#define STDIN_LIMIT (1u << 20)
// Above this many bytes on the way to the daemon, no program's output is read and no request taken.
#define QUEUE_LIMIT (256u << 10)
// A process that has ended may have left the pipe to a child in the background: so long is waited for its end.
#define DRAIN_MS 250
#define INPUT_START 4096u
#define SELF "berth-shim"
// An answer of a helper of ours (`end-holder`), one frame, is kept until that helper has ended.
#define ANSWER_LIMIT 512u

struct run {
  uint32_t id;
  pid_t pid;
  int pidfd, stream[2];
  size_t left[2];  // of STREAM_LIMIT
  bool outlive, ended;
  uint64_t drain_until;
  struct builder *answer;  // not a program of the daemon's but a helper that answers for us
};

struct agent {
  int control, program, mounts, network;
  uint64_t without;
  struct rlimit nofile;
  struct run *runs;
  size_t count, capacity;
  struct pollfd *polled;
  uint8_t *input;
  size_t input_length, input_capacity;
  struct builder output;
  size_t output_sent;
  bool broken;
};

// ---- to the daemon

static size_t queued(const struct agent *a) { return a->output.length - a->output_sent; }

static void put_bytes(struct agent *a, const void *bytes, size_t length) {
  struct builder *b = &a->output;
  if (b->length + length > b->capacity) {
    const size_t capacity = (b->length + length) * 2;
    uint8_t *data = realloc(b->data, capacity);
    if (data == NULL) {
      a->broken = true;
      return;
    }
    b->data = data;
    b->capacity = capacity;
  }
  memcpy(b->data + b->length, bytes, length);
  b->length += length;
}

static void put_frame(struct agent *a, uint16_t type, uint32_t id, const void *payload, size_t length) {
  uint8_t header[FRAME_HEADER];
  pack_header(header, &(struct frame){.length = (uint32_t)length, .type = type, .id = id});
  put_bytes(a, header, sizeof header);
  if (length > 0) put_bytes(a, payload, length);
}

static void put_fields(struct agent *a, uint16_t type, uint32_t id, struct builder *b) {
  if (b->bad) a->broken = true;
  else put_frame(a, type, id, b->data, b->length);
  builder_free(b);
}

static void put_error(struct agent *a, uint32_t id, const struct err *e) {
  struct builder b = {0};
  add_error(&b, e);
  put_fields(a, FRAME_ERROR, id, &b);
}

static void put_numbers(struct agent *a, uint16_t type, uint32_t id, const uint64_t *numbers, size_t n) {
  struct builder b = {0};
  for (size_t i = 0; i < n; i++) add_number(&b, numbers[i]);
  put_fields(a, type, id, &b);
}

static void flush(struct agent *a) {
  while (queued(a) > 0) {
    const ssize_t n = send(a->control, a->output.data + a->output_sent, queued(a), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
      a->broken = true;
      return;
    }
    a->output_sent += (size_t)n;
  }
  a->output.length = a->output_sent = 0;
  // An idle agent keeps nothing of a large answer.
  if (a->output.capacity > INPUT_START) builder_free(&a->output);
}

// ---- FRAME_RUN

struct request {
  uint64_t flags;
  const char *cwd, *lock, *input;
  size_t input_length, cgroups, argc;
  char **cgroup_files, **argv, **envp;
};

static char **read_strings(struct reader *r, size_t *count) {
  const uint64_t n = read_number(r);
  // A field takes five bytes at least: a larger count is a lie, and must not size an allocation.
  if (r->bad || n > (size_t)(r->end - r->at) / 5) {
    r->bad = true;
    return NULL;
  }
  char **strings = calloc((size_t)n + 1, sizeof *strings);
  if (strings == NULL) {
    r->bad = true;
    return NULL;
  }
  // execve takes char *const, and never writes to them.
  for (size_t i = 0; i < n; i++) strings[i] = (char *)(uintptr_t)read_string(r, NULL);
  if (count != NULL) *count = (size_t)n;
  return strings;
}

static void request_free(struct request *q) {
  free(q->cgroup_files);
  free(q->argv);
  free(q->envp);
}

static bool read_request(struct reader *r, struct request *q, struct err *e) {
  *q = (struct request){.flags = read_number(r), .cwd = read_string(r, NULL), .lock = read_string(r, NULL)};
  q->input = read_string(r, &q->input_length);
  q->cgroup_files = read_strings(r, &q->cgroups);
  q->argv = read_strings(r, &q->argc);
  q->envp = read_strings(r, NULL);
  if (!reader_done(r)) return fail(e, EPROTO, "read", "run frame");
  if (q->flags & ~(uint64_t)(RUN_OUTLIVE | RUN_TEMPLATE)) return fail(e, EINVAL, "run", "unknown flags");
  if (q->argc == 0) return fail(e, EINVAL, "run", "no argument");
  if (q->argv[0][0] != '/' && strcmp(q->argv[0], SELF) != 0) return fail(e, EINVAL, "run (not absolute)", q->argv[0]);
  if (q->cwd[0] != '/') return fail(e, EINVAL, "run (working directory not absolute)", q->cwd);
  if (q->input_length > STDIN_LIMIT) return fail(e, E2BIG, "run (stdin)", q->argv[0]);
  return true;
}

static int no_exec_memfd(void) {
  const int fd = memfd_create("stdin", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  return fd < 0 && errno == EINVAL ? memfd_create("stdin", MFD_CLOEXEC) : fd;
}

static int open_input(const struct request *q, struct err *e) {
  if (q->input_length == 0) {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail_errno(e, "open", "/dev/null");
    return fd;
  }
  AUTO_CLOSE int fd = no_exec_memfd();
  if (fd < 0 || !write_all(fd, q->input, q->input_length)) {
    fail_errno(e, "write", "stdin");
    return -1;
  }
  // Opened again: the program gets the start of it, and cannot write.
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const int readable = open(path, O_RDONLY | O_CLOEXEC);
  if (readable < 0) fail_errno(e, "open", "stdin");
  return readable;
}

static bool room_for_run(struct agent *a, struct err *e) {
  if (a->count < a->capacity) return true;
  const size_t capacity = a->capacity == 0 ? 8 : a->capacity * 2;
  struct run *runs = realloc(a->runs, capacity * sizeof *runs);
  if (runs != NULL) a->runs = runs;
  struct pollfd *polled = realloc(a->polled, (capacity * 3 + 1) * sizeof *polled);
  if (polled != NULL) a->polled = polled;
  if (runs == NULL || polled == NULL) return fail(e, ENOMEM, "run", "");
  a->capacity = capacity;
  return true;
}

// Pipes, process, and the record of it. On failure nothing is left.
static bool start(struct agent *a, uint32_t id, struct spawn *s, struct builder *answer, struct err *e) {
  if (!room_for_run(a, e)) return false;
  int pipes[2][2] = {{-1, -1}, {-1, -1}}, pidfd = -1, pid = -1;
  if (pipe2(pipes[0], O_CLOEXEC) < 0 || pipe2(pipes[1], O_CLOEXEC) < 0) fail_errno(e, "pipe", s->argv[0]);
  else {
    s->output = pipes[0][1];
    s->error = pipes[1][1];
    pid = spawn(s, &pidfd);
    if (pid < 0) *e = s->failed;
  }
  for (int i = 0; i < 2; i++) {
    close_fd(&pipes[i][1]);
    if (pid < 0) close_fd(&pipes[i][0]);
    else fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
  }
  if (pid < 0) return false;
  a->runs[a->count++] = (struct run){.id = id,
                                     .pid = pid,
                                     .pidfd = pidfd,
                                     .stream = {pipes[0][0], pipes[1][0]},
                                     .left = {STREAM_LIMIT, STREAM_LIMIT},
                                     .outlive = s->outlive,
                                     .answer = answer};
  return true;
}

// A frame may be older than the daemon's death. What it asks for is not started then: the next daemon has looked at the
// lock, or will, and must find what it found. With the lock taken first, either it is held or nothing is started.
static bool daemon_lives(const struct agent *a, struct err *e) {
  struct pollfd control = {.fd = a->control, .events = POLLRDHUP};
  return poll(&control, 1, 0) <= 0 || fail(e, ECONNRESET, "run", "the daemon is gone");
}

static bool run_request(struct agent *a, uint32_t id, const struct request *q, struct err *e) {
  AUTO_CLOSE int input = open_input(q, e);
  if (input < 0) return false;
  AUTO_CLOSE int lock = q->lock[0] == '\0' ? -1 : take_lock(q->lock, e);
  if (lock < 0 && q->lock[0] != '\0') return false;
  if (!daemon_lives(a, e)) return false;
  struct spawn s = {.cwd = q->cwd,
                    .argv = q->argv,
                    .envp = q->envp,
                    .cgroup_files = (const char *const *)q->cgroup_files,
                    .cgroups = q->cgroups,
                    .input = input,
                    .lock = lock,
                    .mounts = q->flags & RUN_TEMPLATE ? a->mounts : -1,
                    .program = q->argv[0][0] == '/' ? -1 : a->program,
                    .outlive = (q->flags & RUN_OUTLIVE) != 0,
                    .nofile = a->nofile};
  if (!start(a, id, &s, NULL, e)) return false;
  put_numbers(a, FRAME_RUN_STARTED, id, &(uint64_t){(uint64_t)a->runs[a->count - 1].pid}, 1);
  return true;
}

static bool on_run(struct agent *a, uint32_t id, struct reader *r, struct err *e) {
  struct request q;
  const bool started = read_request(r, &q, e) && run_request(a, id, &q, e);
  request_free(&q);
  return started;
}

// ---- the other requests

static bool on_signal(struct agent *a, uint32_t id, struct reader *r, struct err *e) {
  const uint64_t signal = read_number(r);
  if (!reader_done(r) || signal == 0 || signal > 64) return fail(e, EPROTO, "read", "signal frame");
  // An ended one is not reaped before it leaves this table, so the group's number is still its own.
  for (size_t i = 0; i < a->count; i++)
    if (a->runs[i].id == id) kill(-a->runs[i].pid, (int)signal);
  return true;
}

static bool on_try_lock(struct agent *a, uint32_t id, struct reader *r, struct err *e) {
  const char *path = read_string(r, NULL);
  bool is_free;
  uint64_t pid;
  if (!reader_done(r)) return fail(e, EPROTO, "read", "try-lock frame");
  if (!try_lock(path, &is_free, &pid, e)) return false;
  put_numbers(a, FRAME_OK, id, (uint64_t[]){is_free, pid}, 2);
  return true;
}

// It waits, so a process of its own does it.
static bool on_end_holder(struct agent *a, uint32_t id, struct reader *r, struct err *e) {
  const char *path = read_string(r, NULL);
  const uint64_t wait_ms = read_number(r);
  if (!reader_done(r)) return fail(e, EPROTO, "read", "end-holder frame");
  char id_text[24], wait_text[24];
  snprintf(id_text, sizeof id_text, "%u", id);
  snprintf(wait_text, sizeof wait_text, "%llu", (unsigned long long)wait_ms);
  char *const argv[] = {(char[]){SELF}, (char[]){"end-holder"}, id_text, (char *)(uintptr_t)path, wait_text, NULL};
  AUTO_CLOSE int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  struct builder *answer = calloc(1, sizeof *answer);
  struct spawn s = {.cwd = "/", .argv = argv, .envp = (char *[]){NULL}, .input = input, .lock = -1, .mounts = -1,
                    .program = a->program, .nofile = a->nofile};
  if (input < 0) return free(answer), fail_errno(e, "open", "/dev/null");
  if (answer == NULL) return fail(e, ENOMEM, "end-holder", path);
  if (start(a, id, &s, answer, e)) return true;
  free(answer);
  return false;
}

static bool on_notify(struct agent *a, uint32_t id, struct reader *r, struct err *e) {
  size_t length;
  const char *text = read_string(r, &length);
  if (!reader_done(r)) return fail(e, EPROTO, "read", "notify frame");
  if (!notify(getenv("NOTIFY_SOCKET"), text, length, e)) return false;
  put_frame(a, FRAME_OK, id, NULL, 0);
  return true;
}

static bool on_probe(struct agent *a, uint32_t id, struct reader *r, struct err *e) {
  struct utsname name;
  if (!reader_done(r)) return fail(e, EPROTO, "read", "probe frame");
  if (uname(&name) < 0) return fail_errno(e, "uname", "");
  struct builder b = {0};
  add_number(&b, probe_features(a->mounts) & ~a->without);
  add_string(&b, name.release, strlen(name.release));
  put_fields(a, FRAME_OK, id, &b);
  return true;
}

// Answered by the agent itself: a process each time would cost a hundred times as much.
static bool on_net_devices(struct agent *a, uint32_t id, struct reader *r, struct err *e) {
  size_t count = 0;
  char **paths = read_strings(r, &count);
  struct builder b = {0};
  const bool understood = reader_done(r) || fail(e, EPROTO, "read", "net-devices frame");
  const bool done = understood && add_net_devices(&b, a->network, (const char *const *)paths, count, e);
  // In another network than the daemon's nothing may be started.
  if (understood && !done) a->broken = true;
  free(paths);
  if (done) put_fields(a, FRAME_OK, id, &b);
  else builder_free(&b);
  return done;
}

static bool on_hello(struct reader *r, struct err *e) {
  const uint64_t version = read_number(r);
  if (!reader_done(r) || version != BERTH_PROTOCOL) return fail(e, EPROTO, "hello", "another protocol version");
  return true;
}

static void on_frame(struct agent *a, const struct frame *f, const uint8_t *payload) {
  struct reader r = {.at = payload, .end = payload + f->length};
  struct err e = {0};
  bool done;
  switch (f->type) {
    case FRAME_HELLO: done = on_hello(&r, &e); break;
    case FRAME_RUN: done = on_run(a, f->id, &r, &e); break;
    case FRAME_SIGNAL: done = on_signal(a, f->id, &r, &e); break;
    case FRAME_TRY_LOCK: done = on_try_lock(a, f->id, &r, &e); break;
    case FRAME_END_HOLDER: done = on_end_holder(a, f->id, &r, &e); break;
    case FRAME_NOTIFY: done = on_notify(a, f->id, &r, &e); break;
    case FRAME_PROBE: done = on_probe(a, f->id, &r, &e); break;
    case FRAME_NET_DEVICES: done = on_net_devices(a, f->id, &r, &e); break;
    default: done = fail(&e, EPROTO, "read", "unknown frame");
  }
  if (!done) put_error(a, f->id, &e);
}

// ---- from the daemon

// Room for what the first frame still lacks; a small buffer again when a large frame has been handled.
static bool room_for_input(struct agent *a) {
  size_t need = INPUT_START;
  struct frame f;
  if (a->input_length >= FRAME_HEADER) {
    if (!unpack_header(a->input, &f)) return false;
    if (f.length + FRAME_HEADER > need) need = f.length + FRAME_HEADER;
  }
  if (need == a->input_capacity || (need < a->input_capacity && a->input_length > need)) return true;
  uint8_t *input = realloc(a->input, need);
  if (input == NULL) return false;
  a->input = input;
  a->input_capacity = need;
  return true;
}

static bool take_frames(struct agent *a) {
  size_t at = 0;
  struct frame f;
  while (a->input_length - at >= FRAME_HEADER) {
    if (!unpack_header(a->input + at, &f)) return false;
    if (a->input_length - at - FRAME_HEADER < f.length) break;
    on_frame(a, &f, a->input + at + FRAME_HEADER);
    at += FRAME_HEADER + f.length;
  }
  memmove(a->input, a->input + at, a->input_length - at);
  a->input_length -= at;
  return true;
}

static void read_control(struct agent *a) {
  if (!room_for_input(a)) {
    a->broken = true;
    return;
  }
  const ssize_t n = recv(a->control, a->input + a->input_length, a->input_capacity - a->input_length, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // End of file: the daemon is gone.
  if (n <= 0) {
    a->broken = true;
    return;
  }
  a->input_length += (size_t)n;
  if (!take_frames(a)) a->broken = true;
}

// ---- running programs

static void pass_output(struct agent *a, struct run *r, int i, const uint8_t *bytes, size_t length) {
  if (r->answer != NULL) {
    const size_t room = ANSWER_LIMIT - r->answer->length;
    if (i == 0 && length <= room) {
      uint8_t *data = realloc(r->answer->data, ANSWER_LIMIT);
      if (data == NULL) return;
      memcpy(data + r->answer->length, bytes, length);
      r->answer->data = data;
      r->answer->length += length;
    }
    return;
  }
  // What is over the limit is read and thrown away, so that the program does not hang on a full pipe.
  const size_t passed = length < r->left[i] ? length : r->left[i];
  r->left[i] -= passed;
  if (passed > 0) put_frame(a, i == 0 ? FRAME_RUN_STDOUT : FRAME_RUN_STDERR, r->id, bytes, passed);
}

static void read_stream(struct agent *a, struct run *r, int i) {
  uint8_t buffer[16384];
  const ssize_t n = read(r->stream[i], buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) close_fd(&r->stream[i]);
  else pass_output(a, r, i, buffer, (size_t)n);
}

static void put_answer(struct agent *a, struct run *r, const struct builder *answer) {
  struct frame f;
  if (answer->length >= FRAME_HEADER && unpack_header(answer->data, &f) && f.length + FRAME_HEADER == answer->length)
    put_bytes(a, answer->data, answer->length);
  else
    put_error(a, r->id, &(struct err){.number = EIO, .what = "end-holder", .object = "the helper died"});
}

// What the program itself wrote is in the pipe by now; only a child in the background could write more.
static void drain(struct agent *a, struct run *r) {
  for (int s = 0; s < 2; s++)
    for (int reads = 0; r->stream[s] >= 0 && reads < 8; reads++) read_stream(a, r, s);
}

static void finish_run(struct agent *a, size_t index) {
  struct run *r = &a->runs[index];
  siginfo_t info = {0};
  drain(a, r);
  for (int i = 0; i < 2; i++) close_fd(&r->stream[i]);
  while (waitid(P_PIDFD, (id_t)r->pidfd, &info, WEXITED) < 0 && errno == EINTR) {
  }
  close_fd(&r->pidfd);
  const uint64_t signal = info.si_code == CLD_EXITED ? 0 : (uint64_t)info.si_status;
  const uint64_t code = signal == 0 ? (uint64_t)info.si_status : 128 + signal;
  if (r->answer == NULL) put_numbers(a, FRAME_RUN_EXIT, r->id, (uint64_t[]){code, signal}, 2);
  else {
    put_answer(a, r, r->answer);
    builder_free(r->answer);
    free(r->answer);
  }
  a->runs[index] = a->runs[--a->count];
}

static bool has_finished(const struct agent *a, const struct run *r, uint64_t now) {
  if (queued(a) > QUEUE_LIMIT) return false;
  return r->ended && ((r->stream[0] < 0 && r->stream[1] < 0) || now >= r->drain_until);
}

static void serve_runs(struct agent *a, size_t polled_runs) {
  const uint64_t now = monotonic_ms();
  for (size_t i = 0; i < polled_runs; i++) {
    struct run *r = &a->runs[i];
    const struct pollfd *p = &a->polled[1 + i * 3];
    for (int s = 0; s < 2; s++)
      if (p[1 + s].fd >= 0 && p[1 + s].revents != 0) read_stream(a, r, s);
    if (r->ended || p[0].revents == 0) continue;
    r->ended = true;
    r->drain_until = now + DRAIN_MS;
  }
  for (size_t i = a->count; i-- > 0;)
    if (has_finished(a, &a->runs[i], now)) finish_run(a, i);
}

// How long poll may wait: until the first drain's end.
static int fill_polled(struct agent *a) {
  const bool full = queued(a) > QUEUE_LIMIT;
  uint64_t until = UINT64_MAX;
  a->polled[0] = (struct pollfd){.fd = a->control,
                                 .events = (short)((full ? 0 : POLLIN) | (queued(a) > 0 ? POLLOUT : 0))};
  for (size_t i = 0; i < a->count; i++) {
    const struct run *r = &a->runs[i];
    struct pollfd *p = &a->polled[1 + i * 3];
    p[0] = (struct pollfd){.fd = r->ended ? -1 : r->pidfd, .events = POLLIN};
    for (int s = 0; s < 2; s++) p[1 + s] = (struct pollfd){.fd = full ? -1 : r->stream[s], .events = POLLIN};
    if (r->ended && r->drain_until < until) until = r->drain_until;
  }
  const uint64_t now = monotonic_ms();
  return until == UINT64_MAX ? -1 : until <= now ? 0 : (int)(until - now);
}

static void loop(struct agent *a) {
  while (!a->broken) {
    const int wait = fill_polled(a);
    const size_t polled_runs = a->count;
    if (poll(a->polled, 1 + polled_runs * 3, wait) < 0 && errno != EINTR) return;
    serve_runs(a, polled_runs);
    if (a->polled[0].revents & (POLLIN | POLLHUP | POLLERR)) read_control(a);
    flush(a);
  }
}

// ---- start and end

static bool read_options(struct agent *a, int argc, char **argv, struct err *e) {
  if (getrlimit(RLIMIT_NOFILE, &a->nofile) < 0) return fail_errno(e, "getrlimit", "RLIMIT_NOFILE");
  uint64_t soft = 1024;
  if (argc > 0 && (!parse_number(argv[0], UINT32_MAX, &soft) || soft == 0)) return fail(e, EINVAL, "agent limit", argv[0]);
  if (argc > 1 && !parse_number(argv[1], UINT32_MAX, &a->without)) return fail(e, EINVAL, "agent features", argv[1]);
  // Node raises its own soft limit to the hard one; what it starts gets the configured one.
  a->nofile.rlim_cur = soft < a->nofile.rlim_max ? (rlim_t)soft : a->nofile.rlim_max;
  return true;
}

static bool prepare(struct agent *a, int argc, char **argv, struct err *e) {
  // Once here instead of in every child: what is ignored stays so over an exec.
  reset_signals();
  if (!read_options(a, argc, argv, e) || !room_for_run(a, e) || !reserve_low_descriptors(e)) return false;
  a->control = fcntl(CONTROL_FD, F_DUPFD_CLOEXEC, 16);
  if (a->control < 0) return fail_errno(e, "dup", "control socket");
  AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || dup3(null, CONTROL_FD, O_CLOEXEC) < 0) return fail_errno(e, "dup", "/dev/null");
  a->program = open_own_program((a->without & FEATURE_MEMFD_EXEC) == 0, e);
  if (a->program < 0) return false;
  a->network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (a->network < 0) return fail_errno(e, "open", "/proc/self/ns/net");
  a->mounts = make_mount_template(e);
  return a->mounts >= 0;
}

// Supervisors live on; whatever else was started for the daemon ends with it.
static void end_runs(struct agent *a) {
  for (size_t i = 0; i < a->count; i++)
    if (!a->runs[i].outlive) kill(-a->runs[i].pid, SIGKILL);
}

int role_agent(int argc, char **argv) {
  struct agent a = {.control = CONTROL_FD, .program = -1, .mounts = -1, .network = -1};
  struct err e = {0};
  if (!prepare(&a, argc, argv, &e)) {
    write_error(a.control, 0, &e);
    return 1;
  }
  put_numbers(&a, FRAME_HELLO, 0, &(uint64_t){BERTH_PROTOCOL}, 1);
  flush(&a);
  loop(&a);
  end_runs(&a);
  return 0;
}

// end-holder ID PATH MILLISECONDS: the agent's hand for FRAME_END_HOLDER; answers with a frame on stdout.
int role_end_holder(int argc, char **argv) {
  uint64_t id, wait_ms;
  struct err e = {0};
  if (argc != 3 || !parse_number(argv[0], UINT32_MAX, &id) || !parse_number(argv[2], 3600000, &wait_ms)) return 64;
  const bool done = end_holder(argv[1], wait_ms, &e);
  return (done ? write_frame(1, FRAME_OK, (uint32_t)id, NULL, 0) : write_error(1, (uint32_t)id, &e)) ? 0 : 1;
}
