// Device rules of cgroup v2: a program that the kernel asks at every mknod and open of a device.
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "cgroup.h"
#include "sys.h"

static int bpf(enum bpf_cmd command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static int load(const void *program, size_t length, char *log, size_t log_size) {
  union bpf_attr a;
  // The kernel refuses what it does not know, so the padding must be zero, too.
  memset(&a, 0, sizeof a);
  a.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  a.expected_attach_type = BPF_CGROUP_DEVICE;
  a.insns = (uintptr_t)program;
  a.insn_cnt = (uint32_t)(length / sizeof(struct bpf_insn));
  a.license = (uintptr_t) "Apache-2.0";
  memcpy(a.prog_name, "berth_devices", sizeof "berth_devices");
  if (log != NULL) {
    a.log_level = 1;
    a.log_buf = (uintptr_t)log;
    a.log_size = (uint32_t)log_size;
  }
  return bpf(BPF_PROG_LOAD, &a);
}

// The log costs time and is of use only for a program that is refused.
static bool fail_load(const char *directory, const void *program, size_t length, struct err *e) {
  const int number = errno;
  char log[4096] = "", text[256];
  close_fd(&(int){load(program, length, log, sizeof log)});
  log[strcspn(log, "\n")] = '\0';
  snprintf(text, sizeof text, "%.120s%s%.120s%s", directory, log[0] == '\0' ? "" : " (", log, log[0] == '\0' ? "" : ")");
  return fail(e, number, "load device rules of", text);
}

bool cgroup_set_devices(const char *directory, const void *program, size_t length, struct err *e) {
  if (length == 0 || length % sizeof(struct bpf_insn) != 0) return fail(e, EINVAL, "load device rules of", directory);
  AUTO_CLOSE int cgroup = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (cgroup < 0) return fail_errno(e, "open cgroup", directory);
  AUTO_CLOSE int loaded = load(program, length, NULL, 0);
  if (loaded < 0) return fail_load(directory, program, length, e);
  union bpf_attr a;
  memset(&a, 0, sizeof a);
  a.target_fd = (uint32_t)cgroup;
  a.attach_bpf_fd = (uint32_t)loaded;
  a.attach_type = BPF_CGROUP_DEVICE;
  a.attach_flags = BPF_F_ALLOW_MULTI;
  return bpf(BPF_PROG_ATTACH, &a) == 0 ? true : fail_errno(e, "attach device rules to", directory);
}
