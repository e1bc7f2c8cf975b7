// What a pod has before it has a container: namespaces that live by a bind mount each, and its /dev/shm.
//   sandbox make [--user PATH UID UIDS GID GIDS] [--net PATH] [--ipc PATH] [--uts PATH] [--pid PATH] [--shm PATH BYTES]
//                [--hostname NAME] [--sysctl NAME VALUE]…
//   sandbox remove PATH…
// make: all of it, or nothing is left. remove: twice is fine. An error is a frame on stdout.
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common.h"
#include "init.h"
#include "sys.h"

#define MAX_SYSCTLS 256

// In the order in which they are made: a user namespace owns all that comes after it.
enum { USER_PIN, PID_PIN = 4, PINS };

struct pin {
  const char *option, *source, *path;
  int flag;
  bool file_made, mounted;
};

struct sandbox {
  struct pin pins[PINS];
  struct init init;
  const char *ids[4];  // which uid of the host is root in the user namespace, and how many are mapped; then the gid
  char paths[2][32];
  const char *shm, *shm_size, *hostname;
  bool shm_made, shm_mounted;
  const char *sysctls[MAX_SYSCTLS][2];
  size_t sysctl_count;
};

static const struct sandbox nothing = {.pins = {{.option = "--user", .flag = CLONE_NEWUSER},
                                                {.option = "--net", .source = "/proc/self/ns/net", .flag = CLONE_NEWNET},
                                                {.option = "--ipc", .source = "/proc/self/ns/ipc", .flag = CLONE_NEWIPC},
                                                {.option = "--uts", .source = "/proc/self/ns/uts", .flag = CLONE_NEWUTS},
                                                {.option = "--pid", .flag = CLONE_NEWPID}},
                                       .ids = {"0", "", "0", ""},
                                       .init = {.id = INIT_ID, .go = -1, .ready = -1}};

static int wanted_namespaces(const struct sandbox *s) {
  int flags = 0;
  for (size_t i = 0; i < PINS; i++)
    if (s->pins[i].path != NULL) flags |= s->pins[i].flag;
  return flags;
}

// ---- undo

static bool unmount(const char *path, struct err *e) {
  // Several mounts may lie on one another; more than a few is somebody else's doing.
  for (int i = 0; i < 8; i++) {
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    if (errno == EINVAL || errno == ENOENT) return true;
    return fail_errno(e, "umount", path);
  }
  return fail(e, EBUSY, "umount", path);
}

static bool unpin(const char *path, struct err *e) {
  struct stat info;
  if (!unmount(path, e) || !init_end(path, e)) return false;
  if (lstat(path, &info) < 0) return errno == ENOENT ? true : fail_errno(e, "stat", path);
  const int result = S_ISDIR(info.st_mode) ? rmdir(path) : unlink(path);
  if (result < 0 && errno != ENOENT) return fail_errno(e, "remove", path);
  return true;
}

static void undo(struct sandbox *s) {
  struct err ignored;
  init_abandon(&s->init);
  for (size_t i = 0; i < PINS; i++) {
    if (s->pins[i].mounted) unmount(s->pins[i].path, &ignored);
    if (s->pins[i].file_made) unlink(s->pins[i].path);
  }
  if (s->shm_mounted) unmount(s->shm, &ignored);
  if (s->shm_made) rmdir(s->shm);
}

// ---- make

static bool make_parent(const char *path, struct err *e) {
  char parent[4096];
  const char *slash = strrchr(path, '/');
  const size_t length = slash == NULL ? 0 : (size_t)(slash - path);
  if (length == 0 || length >= sizeof parent) return true;
  memcpy(parent, path, length);
  parent[length] = '\0';
  // 0755: CNI plugins and daemons of other users look into the directory of network namespaces.
  return mkdir(parent, 0755) == 0 || errno == EEXIST || fail_errno(e, "mkdir", parent);
}

static bool pin(struct pin *p, const struct init *init, struct err *e) {
  if (!make_parent(p->path, e)) return false;
  AUTO_CLOSE int file = open(p->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
  if (file < 0) return fail_errno(e, "create", p->path);
  p->file_made = true;
  // Below the mount the file says who must be killed when the pin goes.
  if (init != NULL && !init_record(init, file, e)) return false;
  AUTO_CLOSE int namespace = sys_open_tree(AT_FDCWD, p->source, OPEN_TREE_CLONE);
  if (namespace < 0) return fail_errno(e, "open_tree", p->source);
  // Onto the descriptor of the file just made: a link put there meanwhile changes nothing.
  if (sys_move_mount(namespace, file) < 0) return fail_errno(e, "pin", p->path);
  p->mounted = true;
  return true;
}

static bool make_shm(struct sandbox *s, struct err *e) {
  if (mkdir(s->shm, 0755) < 0) return fail_errno(e, "mkdir", s->shm);
  s->shm_made = true;
  AUTO_CLOSE int onto = open(s->shm, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  AUTO_CLOSE int fs = sys_fsopen("tmpfs");
  if (onto < 0 || fs < 0) return fail_errno(e, "open", s->shm);
  if (sys_fsconfig_string(fs, "source", "shm") < 0 || sys_fsconfig_string(fs, "mode", "1777") < 0 ||
      sys_fsconfig_string(fs, "size", s->shm_size) < 0 || sys_fsconfig_string(fs, "uid", s->ids[0]) < 0 ||
      sys_fsconfig_string(fs, "gid", s->ids[2]) < 0 || sys_fsconfig_create(fs) < 0)
    return fail_errno(e, "make tmpfs", s->shm);
  AUTO_CLOSE int made = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (made < 0 || sys_move_mount(made, onto) < 0) return fail_errno(e, "mount tmpfs", s->shm);
  s->shm_mounted = true;
  return true;
}

static bool raise_loopback(struct err *e) {
  // Any socket takes interface requests; AF_UNIX is there without IPv4, too.
  AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo"};
  if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) return fail_errno(e, "look up interface", "lo");
  request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
  if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) return fail_errno(e, "bring up interface", "lo");
  return true;
}

static bool starts(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

// A sysctl outside the namespaces just made would change the host.
static bool is_ours(const char *name, int namespaces) {
  if (starts(name, "net/")) return (namespaces & CLONE_NEWNET) != 0;
  if (strcmp(name, "kernel/domainname") == 0) return (namespaces & CLONE_NEWUTS) != 0;
  const bool ipc = starts(name, "kernel/shm") || starts(name, "kernel/msg") || strcmp(name, "kernel/sem") == 0 ||
                   starts(name, "fs/mqueue/");
  return ipc && (namespaces & CLONE_NEWIPC) != 0;
}

// `path` begins with "sys/".
static bool write_sysctl(const char *path, const char *value, struct err *e) {
  AUTO_CLOSE int proc = openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  AUTO_CLOSE int fd = open_in_proc(proc, path, "open sysctl", e);
  if (fd < 0) return false;
  const size_t size = strlen(value);
  const ssize_t written = write(fd, value, size);
  if (written < 0) return fail_errno(e, "write sysctl", path + 4);
  return (size_t)written == size || fail(e, EINVAL, "write sysctl", path + 4);
}

static bool set_sysctl(const struct sandbox *s, const char *name, const char *value, struct err *e) {
  char path[512];
  const int length = snprintf(path, sizeof path, "sys/%s", name);
  if (length < 0 || (size_t)length >= sizeof path) return fail(e, ENAMETOOLONG, "sysctl", name);
  if (!is_ours(name, wanted_namespaces(s))) return fail(e, EPERM, "sysctl (not of a namespace of this pod)", name);
  if (write_sysctl(path, value, e)) return true;
  // Since Linux 6.10 those of an ipc namespace are written by the root of its user namespace, and by nobody else.
  if (e->number != EACCES || s->init.uid == 0 || seteuid(s->init.uid) < 0) return false;
  const bool written = write_sysctl(path, value, e);
  return (seteuid(0) == 0 || fail_errno(e, "be root again for", path)) && written;
}

static bool set_sysctls(const struct sandbox *s, struct err *e) {
  for (size_t i = 0; i < s->sysctl_count; i++)
    if (!set_sysctl(s, s->sysctls[i][0], s->sysctls[i][1], e)) return false;
  return true;
}

static bool write_map(const struct sandbox *s, const char *name, size_t kind, struct err *e) {
  char path[32], map[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)s->init.pid, name);
  const int n = snprintf(map, sizeof map, "0 %s %s\n", s->ids[2 * kind], s->ids[2 * kind + 1]);
  return write_file_at(AT_FDCWD, path, map, (size_t)n, e);
}

// The namespaces that this process is not in itself have one that waits in them.
static bool start_init(struct sandbox *s, int namespaces, struct err *e) {
  if (!init_start(&s->init, (unsigned long)namespaces, e)) return false;
  snprintf(s->paths[0], sizeof s->paths[0], "/proc/%d/ns/user", (int)s->init.pid);
  snprintf(s->paths[1], sizeof s->paths[1], "/proc/%d/ns/pid", (int)s->init.pid);
  s->pins[USER_PIN].source = s->paths[0];
  s->pins[PID_PIN].source = s->paths[1];
  if ((namespaces & CLONE_NEWUSER) && (!write_map(s, "uid_map", 0, e) || !write_map(s, "gid_map", 1, e))) return false;
  return (namespaces & CLONE_NEWPID) == 0 || init_settle(&s->init, e);
}

// This process enters what it makes, but stays the host's root in the host's mount namespace: the pins must be seen there.
static bool make_namespaces(struct sandbox *s, int namespaces, struct err *e) {
  const int apart = namespaces & (CLONE_NEWUSER | CLONE_NEWPID), own = namespaces & ~apart;
  if ((apart & CLONE_NEWUSER) == 0) {
    if (unshare(own) < 0) return fail_errno(e, "unshare", "namespaces");
    return apart == 0 || start_init(s, apart, e);
  }
  if (!start_init(s, namespaces, e)) return false;
  AUTO_CLOSE int init = sys_pidfd_open(s->init.pid);
  return init >= 0 && setns(init, own) == 0 ? true : fail_errno(e, "join", "namespaces");
}

static bool make(struct sandbox *s, struct err *e) {
  const int namespaces = wanted_namespaces(s);
  if (s->hostname != NULL && (namespaces & CLONE_NEWUTS) == 0)
    return fail(e, EPERM, "set hostname (the pod has the host's)", s->hostname);
  if (!make_namespaces(s, namespaces, e)) return false;
  if ((namespaces & CLONE_NEWNET) && !raise_loopback(e)) return false;
  if (s->hostname != NULL && sethostname(s->hostname, strlen(s->hostname)) < 0)
    return fail_errno(e, "set hostname", s->hostname);
  if (!set_sysctls(s, e)) return false;
  for (size_t i = 0; i < PINS; i++)
    if (s->pins[i].path != NULL && !pin(&s->pins[i], i == PID_PIN ? &s->init : NULL, e)) return false;
  if (s->shm != NULL && !make_shm(s, e)) return false;
  if (namespaces & CLONE_NEWPID) return init_go(&s->init, e);
  init_abandon(&s->init);
  return true;
}

// ---- arguments

static bool is_path(const char *text) { return text[0] == '/' && text[1] != '\0' && strstr(text, "/../") == NULL; }

static bool take_path(const char **out, const char *option, const char *path, struct err *e) {
  if (*out != NULL || !is_path(path)) return fail(e, EINVAL, option, path);
  *out = path;
  return true;
}

static bool take_ids(struct sandbox *s, char **texts, struct err *e) {
  uint64_t numbers[4];
  for (size_t i = 0; i < 4; i++) {
    if (!parse_number(texts[i], UINT32_MAX - 1, &numbers[i])) return fail(e, EINVAL, "--user", texts[i]);
    s->ids[i] = texts[i];
  }
  const uint64_t least = numbers[1] < numbers[3] ? numbers[1] : numbers[3];
  if (least == 0) return fail(e, EINVAL, "--user", "no ids");
  s->init.uid = (uid_t)numbers[0];
  s->init.gid = (gid_t)numbers[2];
  if (least <= s->init.id) s->init.id = (uid_t)least - 1;
  return true;
}

// How many arguments the option took, 0 when it is wrong.
static int take_option(struct sandbox *s, int argc, char **argv, struct err *e) {
  const char *option = argv[0];
  uint64_t size;
  if (argc > 5 && strcmp(option, "--user") == 0)
    return take_path(&s->pins[USER_PIN].path, option, argv[1], e) && take_ids(s, argv + 2, e) ? 6 : 0;
  for (size_t i = USER_PIN + 1; argc > 1 && i < PINS; i++)
    if (strcmp(option, s->pins[i].option) == 0) return take_path(&s->pins[i].path, option, argv[1], e) ? 2 : 0;
  if (argc > 1 && strcmp(option, "--hostname") == 0) {
    s->hostname = argv[1];
    return 2;
  }
  if (argc > 2 && strcmp(option, "--shm") == 0 && parse_number(argv[2], INT64_MAX, &size) && size > 0) {
    s->shm_size = argv[2];
    return take_path(&s->shm, option, argv[1], e) ? 3 : 0;
  }
  if (argc > 2 && strcmp(option, "--sysctl") == 0 && s->sysctl_count < MAX_SYSCTLS) {
    s->sysctls[s->sysctl_count][0] = argv[1];
    s->sysctls[s->sysctl_count++][1] = argv[2];
    return 3;
  }
  fail(e, EINVAL, "sandbox option", option);
  return 0;
}

static bool run_make(int argc, char **argv, struct err *e) {
  struct sandbox s = nothing;
  s.init.argc = argc;
  s.init.argv = argv;
  for (int at = 0; at < argc;) {
    const int taken = take_option(&s, argc - at, argv + at, e);
    if (taken == 0) return false;
    at += taken;
  }
  const bool made = make(&s, e);
  if (!made) undo(&s);
  return made;
}

// Each is tried, also after one that failed; the first failure is told.
static bool run_remove(int argc, char **argv, struct err *e) {
  bool good = true;
  for (int i = 0; i < argc; i++) {
    struct err one = {0};
    if (is_path(argv[i]) ? unpin(argv[i], &one) : fail(&one, EINVAL, "sandbox remove", argv[i])) continue;
    if (good) *e = one;
    good = false;
  }
  return good;
}

int role_sandbox(int argc, char **argv) {
  struct err e = {0};
  bool good;
  if (argc > 0 && strcmp(argv[0], "make") == 0) good = run_make(argc - 1, argv + 1, &e);
  else if (argc > 0 && strcmp(argv[0], "remove") == 0) good = run_remove(argc - 1, argv + 1, &e);
  else good = fail(&e, EINVAL, "sandbox", argc > 0 ? argv[0] : "no verb");
  if (!good) write_error(1, 0, &e);
  return good ? 0 : 1;
}
