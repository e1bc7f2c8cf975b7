// What a filter is found to say, against filters whose answer is known.
#include "../birth.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "../sys.h"
#include "tap.h"

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, member))
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)
#define IF(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, 1)
#define ALLOW SECCOMP_RET_ALLOW
#define DENY (SECCOMP_RET_ERRNO | 1)

#define COUNT(filter) (sizeof(filter) / sizeof(filter)[0])

static bool denies(uint32_t number, uint32_t action) {
  const struct sock_filter filter[] = {LOAD(nr), IF(number), ANSWER(action), ANSWER(ALLOW)};
  return !birth_is_allowed(filter, COUNT(filter));
}

// As the default profiles do it: clone with a new namespace is refused, by a mask over its flags.
static bool with_masked_clone(uint32_t mask) {
  const struct sock_filter filter[] = {LOAD(nr), IF(SYS_clone), BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0), ANSWER(ALLOW),
                                       LOAD(args[0]), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), ANSWER(ALLOW), ANSWER(DENY)};
  return birth_is_allowed(filter, COUNT(filter));
}

// Through the memory and the other register.
static bool by_memory(uint32_t number) {
  const struct sock_filter filter[] = {LOAD(nr), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_IMM, number),
                                       BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_LD | BPF_MEM, 3),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1), ANSWER(DENY), ANSWER(ALLOW)};
  return birth_is_allowed(filter, COUNT(filter));
}

int main(void) {
  const struct sock_filter all = ANSWER(ALLOW), log = ANSWER(SECCOMP_RET_LOG), none = ANSWER(DENY);
  const struct sock_filter other[] = {LOAD(arch), IF(0), ANSWER(ALLOW), ANSWER(DENY)}, open_end = LOAD(nr);
  claim(birth_is_allowed(&all, 1) && birth_is_allowed(&log, 1), "a filter that allows or logs all allows the second birth");
  claim(!birth_is_allowed(&none, 1), "a filter that refuses all refuses it");
  claim(!birth_is_allowed(other, COUNT(other)), "a filter for another architecture refuses it");
  claim(!birth_is_allowed(&open_end, 1), "a filter without an answer refuses it");
  const uint32_t needed[] = {SYS_clone, SYS_setsid, SYS_ioctl, SYS_exit_group};
  bool each = true;
  for (size_t i = 0; i < COUNT(needed); i++) each = each && denies(needed[i], DENY);
  claim(each, "a filter that refuses one of the calls that it makes refuses it");
  claim(denies(SYS_clone, SECCOMP_RET_TRACE) && denies(SYS_clone, SECCOMP_RET_USER_NOTIF) &&
            denies(SYS_clone, SECCOMP_RET_KILL_PROCESS) && denies(SYS_clone, SECCOMP_RET_TRAP),
        "who asks somebody else about it, or kills for it, refuses it");
  claim(!denies(SYS_ptrace, DENY) && !denies(SYS_clone3, DENY), "what it does not call does not matter");
  claim(with_masked_clone(0x7e020000) && !with_masked_clone(0x8000), "flags are looked at as the kernel does");
  claim(!by_memory(SYS_clone) && by_memory(SYS_ptrace), "memory and both registers are followed");
  return tap_done();
}
