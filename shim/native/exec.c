// Execs: one frame, one fork. An exec belongs to its connection: when that is lost, it and all it started are killed.
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "supervise.h"

#define QUIET_MS 250   // after its end, without new output: what still holds the pipe is a background child's
#define DRAIN_MS 1000  // after its end, at most

// A copy starts no program of the container's: it stays where no guest sees it.
static bool is_copy(struct plan plan) {
  struct operation op;
  while (plan_next(&plan, &op))
    if (op.code == OP_COPY) return true;
  return false;
}

// Whether the plan gives it a cgroup namespace of its own.
static bool unshares_cgroup(struct plan plan) {
  struct operation op;
  while (plan_next(&plan, &op))
    if (op.code == OP_UNSHARE && (read_number(&op.in) & CLONE_NEWCGROUP) != 0) return true;
  return false;
}

bool exec_start(struct client *c, uint32_t id, unsigned flags, const uint8_t *data, size_t length, struct err *e) {
  struct spawn s = {.cgroup = "", .stdio = flags, .container = shim.container.pidfd, .template = -1};
  if (!shim.container.started || shim.container.ended) return fail(e, ESRCH, "exec", "the container does not run");
  if (!plan_open(&s.plan, data, length, e)) return false;
  s.twice = (shim.own_pid_ns || shim.shares_pid_ns) && !is_copy(s.plan);
  if (plan_next_is(&s.plan, OP_CLONE)) {
    struct operation op;
    plan_next(&s.plan, &op);
    s.flags = read_number(&op.in);
    s.cgroup = read_string(&op.in, NULL);
  }
  struct process *p = pages_get(sizeof *p);
  if (p == NULL) return fail(e, ENOMEM, "exec", "process");
  process_init(p);
  p->client = c;
  p->id = id;
  p->is_marked = unshares_cgroup(s.plan);
  if (!process_spawn(p, &s, e)) {
    pages_free(p, sizeof *p);
    // systemd takes a scope away with the last process in it, maybe before that end was heard of here.
    struct pollfd main = {.fd = shim.container.pidfd, .events = POLLIN};
    return poll(&main, 1, 0) == 1 ? fail(e, ESRCH, "exec", "the container does not run") : false;
  }
  p->next = shim.execs;
  shim.execs = p;
  return true;
}

static void forget(struct process *p) {
  struct process **at = &shim.execs;
  while (*at != p) at = &(*at)->next;
  *at = p->next;
  if (p->client != NULL) client_detach(p->client);
  process_close(p);
  pages_free(p, sizeof *p);
}

void exec_started(struct process *p) {
  struct client *c = p->client;
  if (c == NULL) return;
  if (p->started) {
    client_numbers(c, FRAME_OK, p->id, 1, (const uint64_t[]){(uint64_t)p->pid});
    return;
  }
  client_error(c, p->id, &p->error);
  p->client = NULL;
  client_detach(c);
}

static int64_t deadline_of(const struct process *p) {
  // A slow client does not cost its exec the output; that it reads at all is the connection's matter.
  if (p->paused && p->client != NULL) return INT64_MAX;
  const int64_t quiet = p->data_ms + QUIET_MS, last = p->ended_ms + DRAIN_MS;
  return quiet < last ? quiet : last;
}

static void finish(struct process *p) {
  const uint64_t numbers[4] = {(uint64_t)p->code, (uint64_t)p->signal, p->finished_at, 0};
  if (p->client != NULL) client_numbers(p->client, FRAME_EXIT, p->id, 4, numbers);
  forget(p);
}

void exec_check(struct process *p) {
  if (!p->ended || p->status.fd >= 0) return;
  const bool drained = p->out[0].fd < 0 && p->out[1].fd < 0;
  if (!p->started || p->client == NULL || drained || now_ms() >= deadline_of(p)) {
    if (p->started) finish(p);
    else forget(p);
  }
}

int exec_timeout(int64_t now) {
  int64_t next = INT64_MAX;
  for (const struct process *p = shim.execs; p != NULL; p = p->next)
    if (p->ended && deadline_of(p) < next) next = deadline_of(p);
  if (next == INT64_MAX) return -1;
  return next <= now ? 0 : (int)(next - now);
}

void exec_check_all(void) {
  for (struct process *p = shim.execs, *next; p != NULL; p = next) {
    next = p->next;
    exec_check(p);
  }
}

void exec_finish_all(void) {
  while (shim.execs != NULL) finish(shim.execs);
}
