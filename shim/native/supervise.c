// `berth-shim supervise BUNDLE`: one container, from its plan to its exit file. It does not need the daemon to live.
#include "supervise.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cgroup.h"
#include "sys.h"

#define REPORT 1
#define LOCK 3
#define TEMPLATE 4
#define DRAIN_MS 2000
#define PLAN_LIMIT (16u << 20)

struct supervisor shim = {.lock = -1, .template = -1, .report = -1, .listener.fd = -1, .signals.fd = -1, .scope_events = -1, .slice.fd = -1, .log.fd = -1};

void *pages_get(size_t length) {
  void *pages = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? NULL : pages;
}

void pages_free(void *pages, size_t length) {
  if (pages != NULL) munmap(pages, length);
}

char *keep_text(const char *text) {
  static char room[2560] BESIDE_DATA;
  static size_t used;
  const size_t length = strlen(text) + 1;
  const bool fits = length <= sizeof room - used;
  char *copy = fits ? room + used : pages_get(length);
  if (fits) used += length;
  return copy == NULL ? NULL : memcpy(copy, text, length);
}

// Operations before the clone.

static bool make_cgroup(char *directory, struct err *e) {
  if (mkdir(directory, 0755) == 0 || errno == EEXIST) return true;
  char *slash = strrchr(directory, '/');
  if (errno != ENOENT || slash == NULL || slash == directory) return fail_errno(e, "make cgroup", directory);
  *slash = '\0';
  const bool made = make_cgroup(directory, e);
  *slash = '/';
  if (!made) return false;
  return mkdir(directory, 0755) == 0 || errno == EEXIST ? true : fail_errno(e, "make cgroup", directory);
}

static int64_t kills_told_by(const char *text) {
  const char *at = strstr(text, "oom_kill ");
  return at == NULL ? 0 : (int64_t)strtoul(at + strlen("oom_kill "), NULL, 10);
}

// -1: the cgroup is gone.
static int64_t kills_in(int fd) {
  char text[1024];
  const ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
  if (n < 0) return -1;
  text[n] = '\0';
  return kills_told_by(text);
}

// systemd removes a scope's cgroup as soon as its last process is gone, and the counter with it, sometimes before we have read it. Its
// slice counts what happens below it, and wakes us: what it has more while the scope lives and has none is a sibling's. Only what it
// has more when the scope is gone is taken for the scope's.
void look_for_kills(void) {
  const int64_t slice = kills_in(shim.slice.fd), own = kills_in(shim.scope_events);
  if (slice < 0) source_close(&shim.slice);
  if (own < 0) shim.oom_killed |= slice > shim.slice_kills;
  else if (own > 0) shim.oom_killed = true;
  else shim.slice_kills = slice;
}

static void slice_ready(void *owner, uint32_t events) {
  (void)owner, (void)events;
  look_for_kills();
}

static void watch_kills(const char *directory) {
  AUTO_CLOSE int dir = openat(AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (shim.is_scope || dir < 0) return;
  shim.is_scope = true;
  shim.scope_events = openat(dir, "memory.events", O_RDONLY | O_CLOEXEC);
  if (shim.scope_events < 0) return;
  source_init(&shim.slice, openat(dir, "../memory.events", O_RDONLY | O_CLOEXEC), slice_ready, NULL);
  look_for_kills();
  source_watch(&shim.slice, EPOLLPRI);
}

static bool do_cgroup_make(struct reader *in, struct err *e) {
  const char *directory = read_string(in, NULL);
  const uint64_t version = read_number(in);
  if (shim.cgroup_count == CGROUPS_MOST) return fail(e, E2BIG, "make cgroup", directory);
  char *copy = keep_text(directory);
  if (copy == NULL) return fail(e, ENOMEM, "make cgroup", directory);
  shim.cgroups[shim.cgroup_count] = copy;
  shim.cgroup_versions[shim.cgroup_count++] = (uint8_t)version;
  if (!make_cgroup(copy, e)) return false;
  if (shim.waiting) watch_kills(copy);
  return true;
}

static bool do_cgroup_write(struct reader *in, struct err *e) {
  const char *file = read_string(in, NULL), *value = read_string(in, NULL);
  const bool may_miss = read_number(in) != 0;
  return write_file_at(AT_FDCWD, file, value, strlen(value), e) || (may_miss && e->number == ENOENT);
}

static bool do_cgroup_devices(struct reader *in, struct err *e) {
  const char *directory = read_string(in, NULL);
  size_t length;
  const char *program = read_string(in, &length);
  return cgroup_set_devices(directory, program, length, e);
}

bool cgroup_operation(struct operation *op, struct err *e) {
  switch (op->code) {
    case OP_CGROUP_MAKE: return do_cgroup_make(&op->in, e);
    case OP_CGROUP_WRITE: return do_cgroup_write(&op->in, e);
    case OP_CGROUP_DEVICES: return do_cgroup_devices(&op->in, e);
    default: return fail(e, EINVAL, operation_name(op->code), "not an operation of cgroups");
  }
}

static bool do_clone(struct reader *in, struct plan *rest, struct err *e) {
  struct spawn s = {.flags = read_number(in), .cgroup = read_string(in, NULL), .stdio = shim.stdio, .plan = *rest,
                    .container = -1, .template = shim.template, .twice = shim.shares_pid_ns || shim.own_pid_ns, .pid_ns = shim.pid_ns, .pid_ns_inode = shim.pid_ns_inode};
  shim.waiting = plan_next_is(rest, OP_WAIT);
  shim.own_pid_ns |= (s.flags & CLONE_NEWPID) != 0;
  return process_spawn(&shim.container, &s, e);
}

// Up to and with the clone.
static bool run_plan(struct plan *plan, struct err *e) {
  struct operation op;
  while (plan_next(plan, &op)) {
    bool ok = true;
    const char *path, *directory;
    switch (op.code) {
      case OP_LOG:
        path = keep_text(read_string(&op.in, NULL));
        directory = keep_text(read_string(&op.in, NULL));
        ok = path != NULL && directory != NULL ? log_open(&shim.log, path, directory, e) : fail(e, ENOMEM, "open", "log");
        if (op.in.at < op.in.end) shim.log.exact = read_number(&op.in) != 0;
        break;
      case OP_STDIO:
        shim.stdio = (unsigned)read_number(&op.in);
        shim.stdin_once = read_number(&op.in) != 0;
        break;
      case OP_SET_PID_NS:
        path = read_string(&op.in, NULL);
        shim.own_pid_ns = path[0] == '\0';
        shim.shares_pid_ns = !shim.own_pid_ns;
        if (shim.shares_pid_ns) shim.pid_ns = path;
        break;
      case OP_PID_NS_INODE: shim.pid_ns_inode = read_number(&op.in); break;
      case OP_CLONE: return do_clone(&op.in, plan, e);
      default: ok = cgroup_operation(&op, e);
    }
    if (!ok) return false;
  }
  return fail(e, EINVAL, "run plan", "it ends without clone");
}

// Setting up.

static bool same_file(int fd, const char *name) {
  struct stat own, other;
  return fstat(fd, &own) == 0 && fstatat(AT_FDCWD, name, &other, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(own.st_mode) &&
         own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

// The agent took it before we were started: there is no moment in which we live and it is free (lesson A4).
static void keep_lock(void) {
  if (same_file(LOCK, "lock") && fcntl(LOCK, F_SETFD, FD_CLOEXEC) == 0) {
    shim.lock = LOCK;
    return;
  }
  close(LOCK);
  reset_signals();
}

static bool take_lock(struct err *e) {
  keep_lock();
  if (shim.lock < 0) shim.lock = openat(AT_FDCWD, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (shim.lock < 0) return fail_errno(e, "open", "lock");
  if (flock(shim.lock, LOCK_EX | LOCK_NB) < 0) return fail_errno(e, "lock", "lock (the container has a supervisor)");
  char pid[16];
  const int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
  if (pwrite(shim.lock, pid, (size_t)n, 0) != n || ftruncate(shim.lock, n) < 0) return fail_errno(e, "write", "lock");
  return true;
}

static bool listen_on(const char *name, struct err *e) {
  const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "shim.sock"};
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  source_init(&shim.listener, fd, client_accept, NULL);
  if (fd < 0 || (unlink(name) < 0 && errno != ENOENT)) return fail_errno(e, "make", name);
  const mode_t mask = umask(0177);
  const int bound = bind(fd, (const struct sockaddr *)&address, sizeof address);
  umask(mask);
  if (bound < 0 || listen(fd, 4096) < 0) return fail_errno(e, "bind", name);
  source_watch(&shim.listener, EPOLLIN);
  return true;
}

static void signals_ready(void *owner, uint32_t events) {
  (void)owner, (void)events;
  struct signalfd_siginfo info;
  if (read(shim.signals.fd, &info, sizeof info) == sizeof info) process_reap();
}

// What a service manager or a terminal sends to a whole group is not for a supervisor: its container decides how long it
// lives. Blocked, not ignored: a child has the defaults again with one call.
static void block_signals(bool block) {
  sigset_t set;
  if (block) sigfillset(&set);
  else sigemptyset(&set);
  sigprocmask(SIG_SETMASK, &set, NULL);
}

void restore_signals(void) { block_signals(false); }

static bool watch_signals(struct err *e) {
  block_signals(true);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return fail_errno(e, "open", "signalfd");
  source_init(&shim.signals, fd, signals_ready, NULL);
  source_watch(&shim.signals, EPOLLIN);
  return true;
}

static void close_inherited(void) {
  const bool has_template = fcntl(TEMPLATE, F_GETFD) >= 0;
  if (has_template) fcntl(TEMPLATE, F_SETFD, FD_CLOEXEC);
  shim.template = has_template ? TEMPLATE : -1;
  sys_close_range(TEMPLATE + (has_template ? 1u : 0u), ~0u, 0);
}

static bool set_up(const char *bundle, struct err *e) {
  shim.report = REPORT;
  close_inherited();
  raise_descriptors();  // an exec takes five; each plan has the limit of its own process
  set_undumpable();
  setsid();  // fails where the agent did it
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) return fail_errno(e, "set", "subreaper");
  if (chdir(bundle) < 0) return fail_errno(e, "chdir", bundle);
  return take_lock(e) && loop_open(e) && watch_signals(e) && listen_on("shim.sock", e);
}

static bool start(struct err *e) {
  AUTO_CLOSE int fd = openat(AT_FDCWD, "plan", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) < 0) return fail_errno(e, "open", "plan");
  if (!S_ISREG(info.st_mode) || info.st_size > PLAN_LIMIT) return fail(e, EFBIG, "read", "plan");
  const size_t room = (size_t)info.st_size + 1;
  char *data = pages_get(room);
  size_t length = 0;
  struct plan plan;
  bool ok = data != NULL ? read_file_at(AT_FDCWD, "plan", data, room, &length, e) : fail(e, ENOMEM, "read", "plan");
  ok = ok && plan_open(&plan, (const uint8_t *)data, length, e) && run_plan(&plan, e);
  pages_free(data, room);
  return ok;
}

// Telling how the start went.

static void end_report(void) {
  AUTO_CLOSE int null = openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  close_fd(&shim.template);
  shim.report = -1;
}

static void report_started(void) {
  uint8_t fields[2 * NUMBER_FIELD];
  const uint64_t numbers[2] = {(uint64_t)shim.container.pid, shim.container.started_at};
  write_frame(shim.report, FRAME_OK, 0, fields, pack_numbers(fields, 2, numbers));
  end_report();
}

// Mostly they are empty and hold nothing below: then one call each is all it takes. systemd hears that a scope is empty, and
// removes it with its unit; were it gone by then, the unit would stay for good.
static void remove_cgroups(void) {
  struct err ignored;
  if (shim.is_scope) {
    cgroup_kill_all(shim.cgroups, shim.cgroup_count, &ignored);
    return;
  }
  bool all = true;
  for (size_t i = 0; i < shim.cgroup_count; i++) all = (rmdir(shim.cgroups[i]) == 0 || errno == ENOENT) && all;
  if (all) return;
  cgroup_kill_all(shim.cgroups, shim.cgroup_count, &ignored);
  cgroup_remove(shim.cgroups, shim.cgroup_count, &ignored);
}

static void undo(void) {
  // Without the lock the bundle is another supervisor's, and so is what is in it.
  if (shim.listener.fd >= 0) unlink("shim.sock");
  if (shim.container.pidfd >= 0) sys_pidfd_send_signal(shim.container.pidfd, SIGKILL);
  remove_cgroups();
}

// Undone first: whoever reads the error finds nothing left.
static int start_failed(const struct err *e) {
  undo();
  if (shim.report >= 0) write_error(shim.report, 0, e);
  if (shim.starter != NULL) client_error(shim.starter, shim.starter_id, e);
  clients_flush(now_ms() + DRAIN_MS);
  return 1;
}

void start_result(void) {
  if (!shim.container.started) {
    shim.stopped = true;
    return;
  }
  if (shim.report >= 0) report_started();
  if (shim.starter != NULL) {
    const uint64_t numbers[2] = {(uint64_t)shim.container.pid, shim.container.started_at};
    client_numbers(shim.starter, FRAME_OK, shim.starter_id, 2, numbers);
    shim.starter = NULL;
  }
}

// The end (house.md, "The end of a container").

// What we were asked to kill has not ended for lack of memory, whatever the kernel killed in it before.
static bool out_of_memory(void) {
  if (shim.killed) return false;
  if (shim.oom_killed || shim.is_scope) return shim.oom_killed || kills_in(shim.scope_events) > 0;
  struct err e;
  char text[1024];
  for (size_t i = 0; i < shim.cgroup_count; i++) {
    AUTO_CLOSE int dir = openat(AT_FDCWD, shim.cgroups[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *file = shim.cgroup_versions[i] == 1 ? "memory.oom_control" : "memory.events";
    if (dir < 0 || !read_file_at(dir, file, text, sizeof text, NULL, &e)) continue;
    return kills_told_by(text) > 0;
  }
  return false;
}

static bool cgroup_is_empty(const char *directory) {
  struct err e;
  char text[16] = "";
  AUTO_CLOSE int dir = openat(AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return dir >= 0 && read_file_at(dir, "cgroup.procs", text, sizeof text, NULL, &e) && text[0] == '\0';
}

static void kill_rest(void) {
  struct err ignored;
  for (struct process *p = shim.execs; p != NULL; p = p->next) process_kill_tree(p, SIGKILL);
  if (shim.cgroup_count == 0 || (shim.own_pid_ns && cgroup_is_empty(shim.cgroups[0]))) return;
  cgroup_kill_all(shim.cgroups, shim.cgroup_count, &ignored);
}

void end_begin(void) {
  shim.ending = true;
  source_close(&shim.container.in);
  if (shim.is_scope) look_for_kills();
  source_close(&shim.slice);
  kill_rest();
  shim.end_deadline = now_ms() + DRAIN_MS;
}

bool end_check(void) {
  if (!shim.ending) return false;
  bool whole = shim.container.out[0].fd < 0 && shim.container.out[1].fd < 0;
  for (const struct process *p = shim.execs; p != NULL; p = p->next) whole = whole && p->ended;
  return whole || now_ms() >= shim.end_deadline;
}

static bool write_exit(const char *text, size_t length) {
  AUTO_CLOSE int fd = openat(AT_FDCWD, "exit.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  return fd >= 0 && write_all(fd, text, length) && fsync(fd) == 0 && rename("exit.tmp", "exit") == 0;
}

static int timeout(void) {
  const int64_t now = now_ms();
  const int execs = exec_timeout(now);
  if (!shim.ending) return execs;
  const int end = shim.end_deadline <= now ? 0 : (int)(shim.end_deadline - now);
  return execs >= 0 && execs < end ? execs : end;
}

static int finish(void) {
  struct process *p = &shim.container;
  char text[160];
  // Who asked before now gets an answer, and not the reset of a socket with unread bytes. Bounded: some may ask on and on.
  for (int turns = 0; turns < 256 && loop_turn(0);) turns++;
  log_end(&shim.log, "stdout", &p->rest[0]);
  log_end(&shim.log, "stderr", &p->rest[1]);
  const bool oom = out_of_memory();
  remove_cgroups();
  const int n = snprintf(text, sizeof text, "{\"code\":%d,\"signal\":%d,\"finishedAt\":\"%llu\",\"oomKilled\":%s}\n", p->code,
                         p->signal, (unsigned long long)p->finished_at, oom ? "true" : "false");
  const bool written = write_exit(text, (size_t)n);
  const uint64_t numbers[4] = {(uint64_t)p->code, (uint64_t)p->signal, p->finished_at, oom};
  clients_exit(numbers);
  source_close(&shim.listener);
  unlink("shim.sock");
  // What its execs have said goes to their clients, of whom one may be slow: the container has ended without that.
  for (shim.end_deadline = now_ms() + DRAIN_MS; shim.execs != NULL && now_ms() < shim.end_deadline; exec_check_all()) loop_turn(timeout());
  exec_finish_all();
  clients_flush(now_ms() + DRAIN_MS);
  return written ? 0 : 1;
}

// What the start took of the stack is given back: the pages below this frame, which is smaller than the margin.
__attribute__((noinline)) static void trim_stack(void) {
  const uintptr_t size = (uintptr_t)getpagesize(), room = 64u << 10;
  const uintptr_t page = ((uintptr_t)__builtin_frame_address(0) - 1024) / size * size;
  madvise((void *)(page - room), room, MADV_DONTNEED);
}

int role_supervise(int argc, char **argv) {
  struct err e = {0};
  process_init(&shim.container);
  if (argc == 2 && strcmp(argv[0], "--without-kill-file") == 0) cgroup_kill_file = false;
  else if (argc != 1) return 64;
  if (!set_up(argv[argc - 1], &e) || !start(&e)) return start_failed(&e);
  if (shim.waiting) report_started();
  bool trimmed = false;
  while (!shim.stopped && !end_check()) {
    if (!trimmed && shim.container.started) {
      trim_stack();
      trimmed = true;
    }
    loop_turn(timeout());
    exec_check_all();
    clients_sweep();
  }
  return shim.stopped ? start_failed(&shim.container.error) : finish();
}
