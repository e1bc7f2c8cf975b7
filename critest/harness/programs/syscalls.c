// Tries system calls that a default seccomp profile refuses and prints "name errno" for each. The arguments are wrong
// on purpose: a call that gets through to the kernel fails in another way, and does no harm.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void attempt(const char *name, long number, long a, long b, long c, long d, long e) {
  errno = 0;
  long result = syscall(number, a, b, c, d, e);
  printf("%s %d\n", name, result == -1 ? errno : 0);
}

int main(void) {
  attempt("add_key", SYS_add_key, 0, 0, 0, 0, 0);
  attempt("bpf", SYS_bpf, 9999, 0, 0, 0, 0);
  attempt("kexec_load", SYS_kexec_load, 0, 0, 0, -1, 0);
  attempt("keyctl", SYS_keyctl, 9999, 0, 0, 0, 0);
  attempt("mount", SYS_mount, 0, 0, 0, 0, 0);
  attempt("open_by_handle_at", SYS_open_by_handle_at, -1, 0, 0, 0, 0);
  attempt("perf_event_open", SYS_perf_event_open, 0, 0, -1, -1, 0);
  attempt("setns", SYS_setns, -1, 0, 0, 0, 0);
  attempt("swapon", SYS_swapon, 0, 0, 0, 0, 0);
  attempt("unshare", SYS_unshare, 0x10000000, 0, 0, 0, 0);  // CLONE_NEWUSER
  attempt("userfaultfd", SYS_userfaultfd, -1, 0, 0, 0, 0);
  attempt("unknown", 9999, 0, 0, 0, 0, 0);
  attempt("getpid", SYS_getpid, 0, 0, 0, 0, 0);
  return 0;
}
