#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// Fields of each operation: n number, s text without NUL, b bytes; a last one with * may come any number of times.
static const struct signature {
  uint16_t code;
  const char *fields, *name;
} signatures[] = {
    {OP_CGROUP_MAKE, "sn", "make cgroup"},
    {OP_CGROUP_WRITE, "ssn", "write"},
    {OP_LOG, "ssn*", "open log"},
    {OP_STDIO, "nn", "make pipes"},
    {OP_SET_PID_NS, "s", "join pid namespace"},
    {OP_CLONE, "ns", "clone"},
    {OP_WAIT, "", "wait"},
    {OP_CGROUP_DEVICES, "sb", "set device rules"},
    {OP_PID_NS_INODE, "n", "join pid namespace"},
    {OP_CGROUP_JOIN, "s", "join cgroup"},
    {OP_JOIN_NS, "ns", "join namespace"},
    {OP_UNSHARE, "n", "unshare"},
    {OP_JOIN_CONTAINER, "n", "join container"},
    {OP_OOM_SCORE, "s", "write oom_score_adj"},
    {OP_OVERLAY, "nnsss*", "mount overlay"},
    {OP_ROOT_BIND, "s", "bind root"},
    {OP_OPEN_MOUNT, "nsnnnn", "open mount source"},
    {OP_OPEN_OVERLAY, "nnns*", "mount overlay"},
    {OP_ENTER_ROOT, "n", "enter root"},
    {OP_MOUNT_SLOT, "nss*", "mount"},
    {OP_MOUNT_FS, "sssns*", "mount"},
    {OP_MKDIR, "snnn", "mkdir"},
    {OP_MKNOD, "snnnnn", "mknod"},
    {OP_SYMLINK, "ss", "symlink"},
    {OP_MASK, "s", "mask"},
    {OP_READ_ONLY_PATH, "s", "make read-only"},
    {OP_ROOT_READ_ONLY, "", "make root read-only"},
    {OP_TERMINAL, "nn", "open terminal"},
    {OP_RLIMIT, "nnn", "set rlimit"},
    {OP_CREDENTIALS, "nnbnnnnn", "set credentials"},
    {OP_NO_NEW_PRIVS, "", "set no_new_privs"},
    {OP_SECCOMP, "nb", "load seccomp"},
    {OP_CWD, "sn", "chdir"},
    {OP_UMASK, "n", "umask"},
    {OP_SYSCTL, "ss", "write sysctl"},
    {OP_MOUNT_ATTRIBUTES, "sn", "set mount attributes"},
    {OP_LABEL, "ss", "set security label"},
    {OP_COPY, "ns", "copy"},
    {OP_MOUNT_LABEL, "s", "label mounts"},
    {OP_USER_NS, "s", "open user namespace"},
    {OP_JOIN_USER, "n", "join user namespace"},
    {OP_OPEN_FS, "nssns*", "make file system"},
    {OP_NODES, "n", "make nodes"},
    {OP_OWN_STREAMS, "n", "chown streams"},
    {OP_EXEC, "nss*", "exec"},
};

static const struct signature *signature_of(uint16_t code) {
  for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++)
    if (signatures[i].code == code) return &signatures[i];
  return NULL;
}

const char *operation_name(uint16_t code) {
  const struct signature *s = signature_of(code);
  return s == NULL ? "unknown operation" : s->name;
}

static uint32_t load(const uint8_t *at, int bytes) {
  uint32_t value = 0;
  for (int i = bytes - 1; i >= 0; i--) value = value << 8 | at[i];
  return value;
}

static bool skip_field(struct reader *r, char kind) {
  size_t length = 0;
  if (kind == 'n') read_number(r);
  else read_string(r, kind == 's' ? NULL : &length);
  return !r->bad;
}

// Walks one operation's fields against its signature; leaves r behind them.
static bool check_operation(struct reader *r) {
  if (r->end - r->at < 4) return false;
  const struct signature *s = signature_of((uint16_t)load(r->at, 2));
  const uint32_t fields = load(r->at + 2, 2);
  if (s == NULL) return false;
  r->at += 4;
  const size_t kinds = strlen(s->fields);
  const bool many = kinds > 0 && s->fields[kinds - 1] == '*';
  const size_t fixed = many ? kinds - 2 : kinds;
  if (many ? fields < fixed : fields != fixed) return false;
  for (size_t i = 0; i < fields; i++)
    if (!skip_field(r, s->fields[i < fixed ? i : fixed])) return false;
  return true;
}

bool plan_open(struct plan *p, const uint8_t *data, size_t length, struct err *e) {
  *p = (struct plan){0};
  if (length < 12 || memcmp(data, "BPLN", 4) != 0) return fail(e, EINVAL, "read plan", "not a plan");
  const uint32_t version = load(data + 4, 4);
  if (version < BERTH_OLDEST_PLAN || version > BERTH_PLAN)
    return fail(e, EPROTO, "read plan", "written by another version of berthd");
  const uint32_t count = load(data + 8, 4);
  struct reader r = {.at = data + 12, .end = data + length};
  for (uint32_t i = 0; i < count; i++) {
    if (check_operation(&r)) continue;
    char number[32];
    snprintf(number, sizeof number, "operation %u", i);
    return fail(e, EINVAL, "read plan", number);
  }
  if (r.at != r.end) return fail(e, EINVAL, "read plan", "bytes behind the last operation");
  *p = (struct plan){.at = data + 12, .left = count};
  return true;
}

bool plan_next(struct plan *p, struct operation *op) {
  if (p->left == 0) return false;
  *op = (struct operation){.code = (uint16_t)load(p->at, 2)};
  const uint32_t fields = load(p->at + 2, 2);
  const uint8_t *at = p->at + 4;
  op->in.at = at;
  for (uint32_t i = 0; i < fields; i++) at += (size_t)load(at, 4) + 5;
  op->in.end = at;
  p->at = at;
  p->left--;
  return true;
}

bool plan_next_is(const struct plan *p, uint16_t code) { return p->left > 0 && load(p->at, 2) == code; }
