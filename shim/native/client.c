// Connections to shim.sock. Each has its own buffers, both bounded: a slow one holds up nobody but its own exec.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "cgroup.h"
#include "supervise.h"
#include "sys.h"

#define CLIENT_HIGH (256u << 10)  // an exec's output stops here
#define CLIENT_LOW (64u << 10)    // and goes on here
#define ATTACH_MOST (1u << 20)    // what an attached client that does not read may hold; the rest it misses
#define ATTACH_ALL (8u << 20)     // what all of them may hold; then each has
#define ATTACH_LEAST (64u << 10)

struct client {
  struct client *next;
  struct source source;
  struct buffer out;
  uint8_t header[FRAME_HEADER];
  struct frame frame;
  uint8_t small[40];
  uint8_t *payload;  // small, or pages
  size_t got;        // of header and payload
  size_t stdin_done; // of the payload of a FRAME_STDIN that waits
  struct process *process;
  uint32_t wait_id, stream_id;
  unsigned attach;   // enum exec_flag
  bool hello, waiting, stalled, dead;
  bool told;         // how its stream's process ended; it closes when it has read that
};

// The daemon's own connection, which lasts, needs no page.
static struct client first BESIDE_DATA;
static bool first_used;

static void drop_payload(struct client *c) {
  if (c->payload != c->small) pages_free(c->payload, c->frame.length);
  c->payload = NULL;
  c->got = 0;
}

static void close_stdin(struct process *p) {
  if (!p->tty) source_close(&p->in);
}

static void drop(struct client *c) {
  if (c->dead) return;
  c->dead = true;
  source_close(&c->source);
  buffer_free(&c->out);
  if (shim.starter == c) shim.starter = NULL;
  struct process *p = c->process;
  c->process = NULL;
  if (p == NULL) return;
  if (is_container(p)) {
    if ((c->attach & EXEC_STDIN) != 0 && shim.stdin_once) close_stdin(p);
    return;
  }
  p->client = NULL;
  process_kill_tree(p, SIGKILL);
  p->paused = true;
  process_resume(p);  // so that its end is seen
}

void client_detach(struct client *c) { c->process = NULL; }

bool client_is_full(const struct client *c) { return buffer_pending(&c->out) > CLIENT_HIGH; }

static void watch(struct client *c) {
  source_watch(&c->source, (c->stalled ? 0u : EPOLLIN) | (buffer_pending(&c->out) > 0 ? EPOLLOUT : 0u));
}

void client_send_framed(struct client *c, uint16_t type, uint32_t id, char *frame, size_t length) {
  if (c->dead) return;
  if (type == FRAME_EXIT && id == c->stream_id) c->told = true;
  pack_header((uint8_t *)frame, &(struct frame){.length = (uint32_t)length, .type = type, .id = id});
  const size_t whole = length + FRAME_HEADER;
  ssize_t n = 0;
  if (buffer_pending(&c->out) == 0) n = send(c->source.fd, frame, whole, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0 && errno != EAGAIN && errno != EINTR) return drop(c);
  const size_t done = n < 0 ? 0 : (size_t)n;
  if (done < whole && !buffer_add(&c->out, frame + done, whole - done)) return drop(c);
  watch(c);
}

void client_send(struct client *c, uint16_t type, uint32_t id, const void *payload, size_t length) {
  char frame[FRAME_HEADER + 512];
  if (length > sizeof frame - FRAME_HEADER) return drop(c);
  if (length > 0) memcpy(frame + FRAME_HEADER, payload, length);
  client_send_framed(c, type, id, frame, length);
}

size_t pack_numbers(uint8_t *out, size_t count, const uint64_t *numbers) {
  for (size_t i = 0; i < count; i++) {
    uint8_t *at = out + i * NUMBER_FIELD;
    memset(at, 0, NUMBER_FIELD);
    at[0] = 8;
    for (int byte = 0; byte < 8; byte++) at[4 + byte] = (uint8_t)(numbers[i] >> 8 * byte);
  }
  return count * NUMBER_FIELD;
}

void client_numbers(struct client *c, uint16_t type, uint32_t id, size_t count, const uint64_t *numbers) {
  uint8_t fields[4 * NUMBER_FIELD];
  if (count <= 4) client_send(c, type, id, fields, pack_numbers(fields, count, numbers));
}

void client_error(struct client *c, uint32_t id, const struct err *e) {
  struct builder b = {0};
  add_error(&b, e);
  if (b.bad) drop(c);
  else client_send(c, FRAME_ERROR, id, b.data, b.length);
  builder_free(&b);
}

static void answer(struct client *c, uint32_t id, bool ok, const struct err *e) {
  if (ok) client_send(c, FRAME_OK, id, NULL, 0);
  else client_error(c, id, e);
}

// Requests.

static bool do_kill(uint64_t signal, uint64_t scope, struct err *e) {
  if (signal == 0 || signal > 64) return fail(e, EINVAL, "kill", "signal number");
  if (signal == SIGKILL && !shim.container.ended) shim.killed = true;
  // An own pid namespace ends with its first process, which waits for its execs to be reaped: by us, so we must not
  // stand still here. What else is in the cgroup is killed when the main process has ended.
  if (scope == 1 && signal == SIGKILL && !shim.own_pid_ns && shim.cgroup_count > 0)
    return cgroup_kill_all(shim.cgroups, shim.cgroup_count, e);
  if (shim.container.pidfd < 0 || shim.container.ended) return fail(e, ESRCH, "kill", "the container has ended");
  if (scope == 1 && signal != SIGKILL) process_kill_tree(&shim.container, (int)signal);
  else if (sys_pidfd_send_signal(shim.container.pidfd, (int)signal) < 0) return fail_errno(e, "kill", "main process");
  return true;
}

// Limits of a running container: nothing but values for files of its cgroups. While it waits others make its cgroup.
static bool do_update(const uint8_t *data, size_t length, struct err *e) {
  struct plan plan;
  struct operation op;
  if (!plan_open(&plan, data, length, e)) return false;
  while (plan_next(&plan, &op)) {
    if (op.code != OP_CGROUP_WRITE && !shim.waiting) return fail(e, EINVAL, "update", operation_name(op.code));
    if (!cgroup_operation(&op, e)) return false;
  }
  return true;
}

static void do_attach(struct client *c, uint32_t id, unsigned flags) {
  struct err e;
  if (c->process != NULL) return client_error(c, id, (fail(&e, EBUSY, "attach", "the connection has a stream"), &e));
  if (shim.container.ended) return client_error(c, id, (fail(&e, ESRCH, "attach", "the container has ended"), &e));
  c->process = &shim.container;
  c->stream_id = id;
  c->attach = flags;
  client_send(c, FRAME_OK, id, NULL, 0);
}

static void do_exec(struct client *c, struct reader *in) {
  struct err e;
  size_t length;
  const unsigned flags = (unsigned)read_number(in);
  const char *data = read_string(in, &length);
  if (c->process != NULL) return client_error(c, c->frame.id, (fail(&e, EBUSY, "exec", "the connection has a stream"), &e));
  c->stream_id = c->frame.id;
  if (!exec_start(c, c->frame.id, flags, (const uint8_t *)data, length, &e)) return client_error(c, c->frame.id, &e);
  for (struct process *p = shim.execs; p != NULL; p = p->next)
    if (p->client == c) c->process = p;
}

static void do_go(struct client *c) {
  struct err e;
  const char go = 'G';
  if (!shim.waiting) return client_error(c, c->frame.id, (fail(&e, EINVAL, "go", "the container does not wait"), &e));
  shim.waiting = false;
  shim.starter = c;
  shim.starter_id = c->frame.id;
  if (send(shim.container.status.fd, &go, 1, MSG_NOSIGNAL) < 0) client_error(c, c->frame.id, (fail_errno(&e, "go", "process"), &e));
}

// Of this connection's process, or of the one with that pid (0: the main process): behind input that is not read, no
// frame of its own connection would be seen.
static void do_resize(const struct client *c, struct reader *in) {
  const uint64_t rows = read_number(in), columns = read_number(in);
  const struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
  struct process *p = c->process;
  if (!reader_done(in)) {
    const uint64_t pid = read_number(in);
    for (p = shim.execs; p != NULL && (uint64_t)p->pid != pid;) p = p->next;
    if (pid == 0) p = &shim.container;
  }
  if (!in->bad && p != NULL && p->tty && p->out[0].fd >= 0) ioctl(p->out[0].fd, TIOCSWINSZ, &size);
}

static void do_state(struct client *c) {
  const struct process *p = &shim.container;
  const uint64_t state = p->ended ? SHIM_EXITED : p->started ? SHIM_RUNNING : SHIM_WAITING;
  client_numbers(c, FRAME_OK, c->frame.id, 3, (const uint64_t[]){(uint64_t)p->pid, p->started_at, state});
}

// False: the payload is not all used yet, the client is read again when stdin takes more.
static bool feed_stdin(struct client *c) {
  struct process *p = c->process;
  const bool may = p != NULL && p->in.fd >= 0 && (!is_container(p) || (c->attach & EXEC_STDIN) != 0);
  while (may && c->stdin_done < c->frame.length) {
    const ssize_t n = write(p->in.fd, c->payload + c->stdin_done, c->frame.length - c->stdin_done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      source_watch(&p->in, EPOLLOUT);
      return false;
    }
    if (n < 0) {
      source_close(&p->in);
      break;
    }
    c->stdin_done += (size_t)n;
  }
  return true;
}

static void end_stdin(struct client *c) {
  struct process *p = c->process;
  if (p == NULL) return;
  if (!is_container(p) || ((c->attach & EXEC_STDIN) != 0 && shim.stdin_once)) close_stdin(p);
}

static bool handle(struct client *c) {
  struct reader in = {.at = c->payload, .end = c->payload + c->frame.length};
  struct err e = {0};
  const uint32_t id = c->frame.id;
  if (!c->hello) {
    // A later client has read our version and speaks it; an older one is spoken to as it wants, down to the oldest.
    c->hello = c->frame.type == FRAME_HELLO && read_number(&in) >= BERTH_OLDEST_PROTOCOL && reader_done(&in);
    if (!c->hello) drop(c);
    return true;
  }
  uint64_t a, b;
  switch (c->frame.type) {
    case FRAME_STATE: do_state(c); break;
    case FRAME_WAIT:
      c->waiting = true;
      c->wait_id = id;
      break;
    case FRAME_GO: do_go(c); break;
    case FRAME_KILL:
      a = read_number(&in);
      b = read_number(&in);
      answer(c, id, in.bad ? fail(&e, EINVAL, "kill", "fields") : do_kill(a, b, &e), &e);
      break;
    case FRAME_REOPEN_LOG: answer(c, id, log_reopen(&shim.log, &e), &e); break;
    case FRAME_EXEC: do_exec(c, &in); break;
    case FRAME_UPDATE: {
      size_t length;
      const char *data = read_string(&in, &length);
      answer(c, id, do_update((const uint8_t *)data, length, &e), &e);
      break;
    }
    case FRAME_ATTACH: do_attach(c, id, (unsigned)read_number(&in)); break;
    case FRAME_STDIN: return feed_stdin(c);
    case FRAME_STDIN_END: end_stdin(c); break;
    case FRAME_RESIZE: do_resize(c, &in); break;
    case FRAME_KILL_EXEC:
      a = read_number(&in);
      if (!in.bad && a >= 1 && a <= 64 && c->process != NULL && !is_container(c->process)) process_kill_tree(c->process, (int)a);
      break;
    default: answer(c, id, fail(&e, ENOSYS, "request", "unknown type of frame"), &e);
  }
  return true;
}

// Reading.

static ssize_t receive(struct client *c, void *into, size_t length) {
  const ssize_t n = recv(c->source.fd, into, length, MSG_DONTWAIT);
  if (n > 0) c->got += (size_t)n;
  else if (n == 0 || (errno != EAGAIN && errno != EINTR)) drop(c);
  return n;
}

static void use_frame(struct client *c) {
  c->stdin_done = 0;
  c->stalled = !handle(c);
  if (!c->stalled) drop_payload(c);
}

static void read_some(struct client *c) {
  if (c->got < FRAME_HEADER && receive(c, c->header + c->got, FRAME_HEADER - c->got) <= 0) return;
  if (c->got < FRAME_HEADER) return;
  if (c->payload == NULL) {
    if (!unpack_header(c->header, &c->frame)) return drop(c);
    c->payload = c->frame.length <= sizeof c->small ? c->small : pages_get(c->frame.length);
    if (c->payload == NULL) return drop(c);
  }
  const size_t have = c->got - FRAME_HEADER;
  if (have < c->frame.length && receive(c, c->payload + have, c->frame.length - have) <= 0) return;
  if (c->got - FRAME_HEADER == c->frame.length) use_frame(c);
}

static void ready(void *owner, uint32_t events) {
  struct client *c = owner;
  if ((events & EPOLLOUT) != 0 && !buffer_flush(&c->out, c->source.fd)) return drop(c);
  if ((events & EPOLLIN) != 0) read_some(c);
  else if ((events & (EPOLLHUP | EPOLLERR)) != 0) return drop(c);
  if (c->dead) return;
  struct process *p = c->process;
  if (p != NULL && !is_container(p) && p->paused && buffer_pending(&c->out) < CLIENT_LOW) process_resume(p);
  watch(c);
}

void client_accept(void *owner, uint32_t events) {
  (void)owner, (void)events;
  AUTO_CLOSE int fd = accept4(shim.listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.uid != 0) return;
  struct client *c = first_used ? calloc(1, sizeof *c) : &first;
  if (c == NULL) return;
  if (c == &first) first = (struct client){0};
  first_used = true;
  source_init(&c->source, fd, ready, c);
  fd = -1;
  c->next = shim.clients;
  shim.clients = c;
  client_numbers(c, FRAME_HELLO, 0, 1, (const uint64_t[]){BERTH_PROTOCOL});
}

// All clients.

void clients_output(int stream, char *frame, size_t length) {
  const unsigned flag = stream == 0 ? EXEC_STDOUT : EXEC_STDERR;
  size_t held = 0;
  for (const struct client *c = shim.clients; c != NULL; c = c->next) held += buffer_pending(&c->out);
  const size_t most = held < ATTACH_ALL ? ATTACH_MOST : ATTACH_LEAST;
  for (struct client *c = shim.clients; c != NULL; c = c->next)
    if (!c->dead && c->process == &shim.container && (c->attach & flag) != 0 && buffer_pending(&c->out) < most)
      client_send_framed(c, stream == 0 ? FRAME_STDOUT : FRAME_STDERR, c->stream_id, frame, length);
}

void clients_input(struct process *p) {
  for (struct client *c = shim.clients; c != NULL; c = c->next) {
    if (c->dead || !c->stalled || c->process != p || !feed_stdin(c)) continue;
    c->stalled = false;
    drop_payload(c);
    watch(c);
  }
}

void clients_exit(const uint64_t numbers[4]) {
  for (struct client *c = shim.clients; c != NULL; c = c->next) {
    if (!c->dead && c->process == &shim.container) client_numbers(c, FRAME_EXIT, c->stream_id, 4, numbers);
    if (!c->dead && c->waiting) client_numbers(c, FRAME_EXIT, c->wait_id, 4, numbers);
  }
}

// What writes to a closed socket fails, whatever there is still to read in it: who has a stream closes first.
static bool any_pending(void) {
  for (const struct client *c = shim.clients; c != NULL; c = c->next)
    if (!c->dead && (c->told || buffer_pending(&c->out) > 0)) return true;
  return false;
}

void clients_flush(int64_t deadline) {
  for (int64_t now = now_ms(); any_pending() && now < deadline; now = now_ms()) loop_turn((int)(deadline - now));
}

void clients_sweep(void) {
  for (struct client **at = &shim.clients; *at != NULL;) {
    struct client *c = *at;
    if (!c->dead) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    drop_payload(c);
    if (c == &first) first_used = false;
    else free(c);
  }
}
