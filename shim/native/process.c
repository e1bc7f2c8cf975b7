// A process of the container: made, fed, read and reaped.
#include <dirent.h>
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "birth.h"
#include "cgroup.h"
#include "supervise.h"
#include "sys.h"

void process_init(struct process *p) {
  *p = (struct process){.pidfd = -1, .mark = -1, .status.fd = -1, .in.fd = -1, .out = {{.fd = -1}, {.fd = -1}}};
}

void process_close(struct process *p) {
  source_close(&p->status);
  source_close(&p->in);
  for (int i = 0; i < 2; i++) {
    source_close(&p->out[i]);
    free(p->rest[i].data);
    p->rest[i] = (struct log_rest){0};
  }
  close_fd(&p->pidfd);
  close_fd(&p->mark);
  pages_free(p->born, sizeof *p->born);
  p->born = NULL;
}

// From the first process to the second one, if it is born. Nobody has waited for that one, so the number is its own.
static void adopt(struct process *p) {
  const pid_t pid = p->born == NULL ? 0 : __atomic_load_n(p->born, __ATOMIC_ACQUIRE);
  if (pid == 0) return;
  pages_free(p->born, sizeof *p->born);
  p->born = NULL;
  close_fd(&p->pidfd);
  p->pid = pid;
  p->pidfd = sys_pidfd_open(pid);
  if (p->pidfd < 0) {
    fail_errno(&p->error, "open", "pidfd");
    kill(pid, SIGKILL);
  }
  if (p->early_signal != 0) process_kill_tree(p, p->early_signal);
}

// Of a pipe's end or a terminal: neither has another flag that matters.
static void set_nonblocking(int fd) { fcntl(fd, F_SETFL, O_NONBLOCK); }

// Output.

static void output(struct process *p, int which) {
  struct scratch *memory = scratch_get();
  struct source *from = &p->out[which];
  if (memory == NULL) return;
  if (!is_container(p) && p->client != NULL && client_is_full(p->client)) {
    // Back-pressure: the pipe fills and the exec waits, until its client has read.
    p->paused = true;
    source_unwatch(&p->out[0]);
    source_unwatch(&p->out[1]);
    return;
  }
  char *bytes = memory->read + FRAME_HEADER;
  const ssize_t n = read(from->fd, bytes, SCRATCH_READ - FRAME_HEADER);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  p->data_ms = now_ms();
  if (n <= 0) {  // a terminal without a process answers EIO
    source_close(from);
    if (!is_container(p)) exec_check(p);
    return;
  }
  if (is_container(p)) {
    log_bytes(&shim.log, which == 0 ? "stdout" : "stderr", &p->rest[which], bytes, (size_t)n);
    clients_output(which, memory->read, (size_t)n);
  } else if (p->client != NULL) {
    client_send_framed(p->client, which == 0 ? FRAME_STDOUT : FRAME_STDERR, p->id, memory->read, (size_t)n);
  }
}

static void stdout_ready(void *owner, uint32_t events) {
  (void)events;
  output(owner, 0);
}

static void stderr_ready(void *owner, uint32_t events) {
  (void)events;
  output(owner, 1);
}

void process_resume(struct process *p) {
  if (!p->paused) return;
  p->paused = false;
  source_watch(&p->out[0], EPOLLIN);
  source_watch(&p->out[1], EPOLLIN);
}

void process_input_ready(void *owner, uint32_t events) {
  struct process *p = owner;
  source_unwatch(&p->in);
  // Nobody reads any more: what is still sent is thrown away.
  if ((events & EPOLLERR) != 0) source_close(&p->in);
  clients_input(p);
}

// Start.

static void take_terminal(struct process *p, int master) {
  set_nonblocking(master);
  p->tty = true;
  source_init(&p->out[0], master, stdout_ready, p);
  source_init(&p->in, fcntl(master, F_DUPFD_CLOEXEC, 3), process_input_ready, p);
}

// One message of the process. At the end exec worked, or it died. It does not block: a guest may hold the socket.
enum heard { HEARD_SOMETHING, HEARD_NOTHING, HEARD_END };
static enum heard read_status(struct process *p) {
  char bytes[512];
  union {
    struct cmsghdr align;
    char data[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec data = {.iov_base = bytes, .iov_len = sizeof bytes};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  const ssize_t n = recvmsg(p->status.fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return errno == EINTR ? HEARD_SOMETHING : HEARD_NOTHING;
  if (n <= 0) return HEARD_END;
  const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (bytes[0] == TERMINAL_BYTE && header != NULL && header->cmsg_type == SCM_RIGHTS) {
    int master;
    memcpy(&master, CMSG_DATA(header), sizeof master);
    if (p->out[0].fd < 0) take_terminal(p, master);
    else close(master);
  } else if (bytes[0] == READY_BYTE) {
    p->ready = true;
  } else {
    struct reader r = {.at = (uint8_t *)bytes + 1, .end = (uint8_t *)bytes + n};
    const int number = (int)read_number(&r);
    const char *what = read_string(&r, NULL), *object = read_string(&r, NULL);
    fail(&p->error, number != 0 ? number : EIO, what, object);
  }
  return HEARD_SOMETHING;
}

// Held open, so that its number is not given to another namespace.
static void open_mark(struct process *p) {
  char path[48];
  snprintf(path, sizeof path, "/proc/%d/ns/cgroup", (int)p->pid);
  if (p->is_marked) p->mark = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

static void status_end(struct process *p) {
  source_close(&p->status);
  adopt(p);
  if ((!p->ready || p->born != NULL) && p->error.number == 0) fail(&p->error, ESRCH, "start", "the process was killed before exec");
  p->started = p->error.number == 0;
  if (p->started) {
    p->started_at = now_ns();
    open_mark(p);
    source_watch(&p->out[0], EPOLLIN);
    source_watch(&p->out[1], EPOLLIN);
  }
  if (is_container(p)) start_result();
  else exec_started(p);
}

static void status_ready(void *owner, uint32_t events) {
  (void)events;
  if (read_status(owner) == HEARD_END) status_end(owner);
}

struct ends {
  int child[3], status[2];
};

static void close_ends(struct ends *ends) {
  for (int i = 0; i < 3; i++) close_fd(&ends->child[i]);
  close_fd(&ends->status[0]);
  close_fd(&ends->status[1]);
}

static bool make_pipe(int *ours, int *theirs, bool reads) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return false;
  *ours = ends[reads ? 0 : 1];
  *theirs = ends[reads ? 1 : 0];
  set_nonblocking(*ours);
  return true;
}

static bool make_ends(struct process *p, unsigned stdio, struct ends *ends) {
  const bool tty = (stdio & EXEC_TTY) != 0;
  int fd = -1;
  if (!tty && (stdio & EXEC_STDIN) != 0) {
    if (!make_pipe(&fd, &ends->child[0], false)) return false;
    source_init(&p->in, fd, process_input_ready, p);
  }
  if (!tty && (stdio & EXEC_STDOUT) != 0) {
    if (!make_pipe(&fd, &ends->child[1], true)) return false;
    source_init(&p->out[0], fd, stdout_ready, p);
  }
  if (!tty && (stdio & EXEC_STDERR) != 0) {
    if (!make_pipe(&fd, &ends->child[2], true)) return false;
    source_init(&p->out[1], fd, stderr_ready, p);
  }
  for (int i = 0; i < 3; i++)
    if (ends->child[i] < 0 && (ends->child[i] = openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC)) < 0) return false;
  return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends->status) == 0;
}

static void tell_error(int status, const struct err *e) {
  struct builder b = {0};
  add_error(&b, e);
  char message[512] = "E";
  if (!b.bad && b.length < sizeof message) {
    memcpy(message + 1, b.data, b.length);
    send(status, message, b.length + 1, MSG_NOSIGNAL);
  }
  builder_free(&b);
}

_Noreturn static void child(const struct spawn *s, const struct ends *ends, pid_t *born) {
  struct runner r = {.plan = s->plan, .status = ends->status[1], .container = s->container, .template = s->template,
                     .born = born, .root = -1, .parent = -1, .user_ns = -1, .nodes = -1, .null_mount = -1, .empty_mount = -1, .umask = 0022};
  struct err e = {0};
  close(shim.lock);  // a child must not hold the lock that tells that the supervisor lives
  restore_signals();
  bool ok = true;
  for (int i = 0; i < 3 && ok; i++) ok = dup2(ends->child[i], i) == i;
  if (!ok) fail_errno(&e, "duplicate", "standard streams");
  // Here already: who asks for the procfs is a copy of this one, and is seen.
  else if (s->pid_ns == NULL || (birth_keep(r.status, r.template, &e) && birth_join(s->pid_ns, s->pid_ns_inode, &e))) runner_run(&r, &e);
  tell_error(ends->status[1], &e);
  _exit(127);
}

static bool clone_process(struct process *p, const struct spawn *s, struct ends *ends, struct err *e) {
  AUTO_CLOSE int cgroup = s->cgroup[0] == '\0' ? -1 : openat(AT_FDCWD, s->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (s->cgroup[0] != '\0' && cgroup < 0) return fail_errno(e, "open cgroup", s->cgroup);
  struct clone_args args = {.flags = s->flags | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&p->pidfd,
                            .exit_signal = SIGCHLD};
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (unsigned)cgroup;
  }
  if (s->twice) {
    void *page = mmap(NULL, sizeof *p->born, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return fail_errno(e, "map", "page of the pid");
    p->born = page;
  }
  const long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return fail_errno(e, "clone", cgroup >= 0 ? s->cgroup : "process");
  if (pid == 0) child(s, ends, p->born);
  p->pid = (pid_t)pid;
  p->started_at = now_ns();
  return true;
}

bool process_spawn(struct process *p, const struct spawn *s, struct err *e) {
  struct ends ends = {{-1, -1, -1}, {-1, -1}};
  if (!make_ends(p, s->stdio, &ends)) fail_errno(e, "make pipes", "standard streams");
  else if (clone_process(p, s, &ends, e)) {
    source_init(&p->status, ends.status[0], status_ready, p);
    ends.status[0] = -1;
    source_watch(&p->status, EPOLLIN);
  }
  close_ends(&ends);
  if (p->pid == 0) process_close(p);
  return p->pid != 0;
}

// End.

static struct process *process_of(pid_t pid) {
  adopt(&shim.container);
  for (struct process *p = shim.execs; p != NULL; p = p->next) adopt(p);
  if (shim.container.pid == pid && !shim.container.ended) return &shim.container;
  for (struct process *p = shim.execs; p != NULL; p = p->next)
    if (p->pid == pid && !p->ended) return p;
  return NULL;
}

static void ended(struct process *p, const siginfo_t *info) {
  // What it said before it died comes first: the order of the events is not the order of the causes.
  if (p->status.fd >= 0) {
    while (read_status(p) == HEARD_SOMETHING) continue;
    status_end(p);
  }
  const bool exited = info->si_code == CLD_EXITED;
  p->ended = true;
  p->signal = exited ? 0 : info->si_status;
  p->code = exited ? info->si_status : 128 + info->si_status;
  p->finished_at = now_ns();
  p->ended_ms = p->data_ms = now_ms();
  if (!is_container(p)) exec_check(p);
  else if (p->started) end_begin();
}

void process_reap(void) {
  for (;;) {
    siginfo_t info = {0};
    // Looked at first: a number that is still to be adopted must not be another's by then.
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0) return;
    struct process *p = process_of(info.si_pid);
    waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    if (p != NULL) ended(p, &info);
  }
}

static void kill_tree(pid_t pid, int signal, int depth);

// The children that one thread made.
static void kill_children(int dir, const char *thread, int signal, int depth) {
  char path[64], text[512];
  snprintf(path, sizeof path, "%.20s/children", thread);
  AUTO_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
  pid_t pid = 0;
  for (ssize_t n; fd >= 0 && (n = read(fd, text, sizeof text)) > 0;)
    for (ssize_t i = 0; i < n; i++) {
      if (text[i] != ' ') {
        pid = pid * 10 + (text[i] - '0');
        continue;
      }
      kill_tree(pid, signal, depth + 1);
      pid = 0;
    }
}

static void kill_tree(pid_t pid, int signal, int depth) {
  AUTO_CLOSE int pidfd = sys_pidfd_open(pid);
  if (pidfd < 0) return;
  // Stopped first, so that it makes no children while they are looked for.
  if (signal == SIGKILL) sys_pidfd_send_signal(pidfd, SIGSTOP);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *tasks = depth < 256 ? opendir(path) : NULL;
  for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;)
    if (entry->d_name[0] != '.') kill_children(dirfd(tasks), entry->d_name, signal, depth);
  if (tasks != NULL) closedir(tasks);
  sys_pidfd_send_signal(pidfd, signal);
}

struct marked {
  struct stat mark;
  int signal;
  size_t found;
};

static void kill_marked(pid_t pid, void *argument) {
  struct marked *m = argument;
  struct stat own;
  char path[48];
  // Opened before the look: another process that has the number by then is not what is killed.
  AUTO_CLOSE int pidfd = sys_pidfd_open(pid);
  snprintf(path, sizeof path, "/proc/%d/ns/cgroup", (int)pid);
  if (pidfd < 0 || stat(path, &own) < 0 || own.st_ino != m->mark.st_ino || own.st_dev != m->mark.st_dev) return;
  m->found++;
  sys_pidfd_send_signal(pidfd, m->signal);
}

// Finds also what has no parent of the exec any more: who starts a process twice and lets the first one die loses its
// ancestry, but stays in the namespace. What may unshare that one may leave the cgroup as well.
static bool kill_all_marked(const struct process *p, int signal) {
  struct marked m = {.signal = signal};
  if (p->mark < 0 || shim.cgroup_count == 0 || fstat(p->mark, &m.mark) < 0) return false;
  // Again for what was started meanwhile; what is killed but not gone yet is found as well, so there is an end.
  for (int passes = 0; passes < (signal == SIGKILL ? 8 : 1); passes++) {
    m.found = 0;
    cgroup_visit(shim.cgroups[0], kill_marked, &m);
    if (m.found == 0) break;
  }
  return true;
}

void process_kill_tree(struct process *p, int signal) {
  if (p->pid == 0 || p->ended) return;  // its number may be another's by now
  adopt(p);
  if (p->born != NULL) {
    p->early_signal = signal;
    if (signal == SIGKILL) sys_pidfd_send_signal(p->pidfd, signal);
    return;
  }
  if (kill_all_marked(p, signal) && signal != SIGKILL) return;
  kill_tree(p->pid, signal, 0);
  kill(-p->pid, signal);
}
