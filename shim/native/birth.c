// A process that joins the pid namespace of others is born twice.
//
// Whoever has CAP_SYS_PTRACE in a pid namespace opens the root, the memory and the descriptors of every process that he
// sees there, whatever its dumpable flag says. So the first process lives in the supervisor's pid namespace, where no guest
// sees it: it leaves the host's mount namespace, root and working directory, becomes what the guest is (ids, capabilities,
// limits, the filter), and closes all but the status socket and the standard streams. Only then the second one is born, as
// the supervisor's child (CLONE_PARENT). Who takes hold of that one gets nothing that the container has not. Its memory is
// a copy, not shared (CLONE_VM): the first, which is in the host's pid namespace, is not to be reached through it.
//
// The filter comes before the second birth unless it forbids that itself (clone, setsid…). Then it is loaded after it, and
// without no_new_privs the second process holds CAP_SYS_ADMIN and CAP_SETPCAP for so long, as the kernel demands.
#include "birth.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "sys.h"

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "which AUDIT_ARCH is this?"
#endif

#define BIRTH_FLAGS (CLONE_PARENT | CLONE_PARENT_SETTID)

bool send_descriptor(int to, int fd, char byte) {
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(to, &message, MSG_NOSIGNAL) == 1;
}

static int receive_descriptor(int from, char byte) {
  char got = 0;
  int fd = -1;
  struct iovec data = {.iov_base = &got, .iov_len = 1};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1 || got != byte) return -1;
  const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header == NULL || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof fd)) return -1;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

bool birth_join(const char *pid_ns, uint64_t inode, struct err *e) {
  struct stat st;
  AUTO_CLOSE int fd = openat(AT_FDCWD, pid_ns, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "open namespace", pid_ns);
  if (inode != 0 && (fstat(fd, &st) != 0 || st.st_ino != inode)) return fail(e, ESRCH, "join namespace", "the target has ended");
  return syscall(SYS_setns, fd, CLONE_NEWPID) == 0 ? true : fail_errno(e, "join namespace", pid_ns);
}

static bool close_between(int above, int below) {
  return below - above < 2 || sys_close_range((unsigned)above + 1, (unsigned)below - 1, 0) == 0;
}

bool birth_keep(int a, int b, struct err *e) {
  const int low = a < b ? a : b, high = a < b ? b : a;
  if (close_between(2, low) && close_between(low < 2 ? 2 : low, high) && sys_close_range((unsigned)high + 1, ~0u, 0) == 0)
    return true;
  return fail_errno(e, "close", "descriptors");
}

static bool prepare_page(pid_t *born, struct err *e) {
  *born = 0;  // it is there when the kernel writes to it
  return madvise(born, sizeof *born, MADV_DONTFORK) == 0 ? true : fail_errno(e, "madvise", "page of the pid");
}

bool birth_early(struct runner *r, struct err *e) { return r->born == NULL || (prepare_page(r->born, e) && birth(r, e)); }

bool birth_prepare(struct runner *r, struct err *e) {
  if (r->born == NULL) return true;
  if (!birth_keep(-1, r->status, e)) return false;
  r->root = r->parent = r->null_mount = r->empty_mount = r->container = r->template = r->user_ns = r->nodes = -1;
  r->slot_count = 0;
  return prepare_page(r->born, e);
}

bool birth(struct runner *r, struct err *e) {
  pid_t *born = r->born;
  if (born == NULL) return true;
  r->born = NULL;
  // The kernel writes the pid, as the supervisor knows it, before the process runs; that one does not have the page.
  const long pid = syscall(SYS_clone, BIRTH_FLAGS, NULL, born, NULL, NULL);
  if (pid < 0) return fail_errno(e, "clone", "process in the pid namespace");
  if (pid > 0) _exit(0);
  // A session is led from inside: the one of the first process would end with it.
  if (setsid() < 0) return fail_errno(e, "setsid", "session");
  return !r->tty || ioctl(0, TIOCSCTTY, 0) == 0 ? true : fail_errno(e, "set controlling", "terminal");
}

// A procfs shows the pid namespace of who asks for it, so somebody in it has to ask. He has no power outside a user
// namespace of his own; the mount is made of his file system context by the first process.
_Noreturn static void ask_for_proc(int to) {
  const int fs = sys_fsopen("proc");
  _exit(fs >= 0 && send_descriptor(to, fs, 'P') ? 0 : 1);
}

int birth_proc(void) {
  const struct timeval patience = {.tv_sec = 10};  // a guest may stop him
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -1;
  setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  long pid = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
  // A node may forbid user namespaces; then he is root for that moment.
  if (pid < 0) pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0) ask_for_proc(ends[1]);
  close_fd(&ends[1]);
  const int fs = pid < 0 ? -1 : receive_descriptor(ends[0], 'P');
  const int number = pid < 0 ? errno : EIO;
  close_fd(&ends[0]);
  if (pid > 0) {
    kill((pid_t)pid, SIGKILL);
    while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR) continue;
  }
  errno = number;
  return fs;
}

// What a filter says.

struct machine {
  uint32_t a, x, memory[BPF_MEMWORDS];
};

static uint32_t calculate(unsigned operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_ADD: return a + b;
    case BPF_SUB: return a - b;
    case BPF_MUL: return a * b;
    case BPF_DIV: return b == 0 ? 0 : a / b;
    case BPF_OR: return a | b;
    case BPF_AND: return a & b;
    case BPF_XOR: return a ^ b;
    case BPF_LSH: return b > 31 ? 0 : a << b;
    case BPF_RSH: return b > 31 ? 0 : a >> b;
    default: return 0 - a;  // BPF_NEG
  }
}

static uint32_t loaded(const struct machine *m, const struct sock_filter *f, const struct seccomp_data *data) {
  uint32_t word = 0;
  switch (BPF_MODE(f->code)) {
    case BPF_IMM: return f->k;
    case BPF_LEN: return sizeof *data;
    case BPF_MEM: return f->k < BPF_MEMWORDS ? m->memory[f->k] : 0;
    default:
      if (f->k <= sizeof *data - sizeof word) memcpy(&word, (const char *)data + f->k, sizeof word);
      return word;
  }
}

static bool jumps(unsigned operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_JEQ: return a == b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    default: return (a & b) != 0;  // BPF_JSET
  }
}

// As the kernel runs it. A jump only goes forward, so there is an end; one that leaves the program is refused at the load.
static uint32_t answer_of(const struct sock_filter *filter, size_t count, const struct seccomp_data *data) {
  struct machine m = {0};
  for (size_t at = 0; at < count; at++) {
    const struct sock_filter *f = &filter[at];
    const uint32_t operand = BPF_SRC(f->code) == BPF_X ? m.x : f->k;
    switch (BPF_CLASS(f->code)) {
      case BPF_LD: m.a = loaded(&m, f, data); break;
      case BPF_LDX: m.x = loaded(&m, f, data); break;
      case BPF_ST: m.memory[f->k % BPF_MEMWORDS] = m.a; break;
      case BPF_STX: m.memory[f->k % BPF_MEMWORDS] = m.x; break;
      case BPF_ALU: m.a = calculate(BPF_OP(f->code), m.a, operand); break;
      case BPF_JMP:
        if (BPF_OP(f->code) == BPF_JA) at += f->k;
        else at += jumps(BPF_OP(f->code), m.a, operand) ? f->jt : f->jf;
        break;
      case BPF_RET: return BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
      default:  // BPF_MISC
        if (BPF_MISCOP(f->code) == BPF_TAX) m.x = m.a;
        else m.a = m.x;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

bool birth_is_allowed(const struct sock_filter *filter, size_t count) {
  // What is a pointer in them is none that a filter can know.
  const struct seccomp_data calls[] = {
      {.nr = SYS_clone, .arch = OWN_ARCH, .args = {BIRTH_FLAGS}},
      {.nr = SYS_setsid, .arch = OWN_ARCH},
      {.nr = SYS_ioctl, .arch = OWN_ARCH, .args = {0, TIOCSCTTY}},
      {.nr = SYS_exit_group, .arch = OWN_ARCH},
  };
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    const uint32_t answer = answer_of(filter, count, &calls[i]) & SECCOMP_RET_ACTION_FULL;
    if (answer != SECCOMP_RET_ALLOW && answer != SECCOMP_RET_LOG) return false;
  }
  return true;
}
