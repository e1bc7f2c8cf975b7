// A terminal of the container's own devpts; its master goes to the supervisor.
#include <errno.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "birth.h"
#include "sys.h"

// /dev/console is bound from the terminal's own descriptor: no name is looked up twice (runc CVE-2025-52565).
static bool bind_console(struct runner *r, int slave, struct err *e) {
  AUTO_CLOSE int target = open_target(r->root, "/dev/console", TARGET_FILE, TARGET_MAKE | TARGET_NO_LINKS, e);
  if (target < 0) return false;
  AUTO_CLOSE int console = sys_open_tree(slave, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  if (console < 0) return fail_errno(e, "open terminal", "/dev/console");
  return sys_move_mount(console, target) == 0 ? true : fail_errno(e, "mount", "/dev/console");
}

bool op_terminal(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t rows = read_number(in), columns = read_number(in);
  const struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
  const uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  AUTO_CLOSE int master = sys_openat2(r->root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0, resolve);
  struct statfs info;
  if (master < 0 || fstatfs(master, &info) < 0) return fail_errno(e, "open terminal", "/dev/pts/ptmx");
  if (info.f_type != DEVPTS_SUPER_MAGIC) return fail(e, ENODEV, "open terminal", "/dev/pts/ptmx");
  int unlocked = 0;
  if (ioctl(master, TIOCSPTLCK, &unlocked) < 0) return fail_errno(e, "unlock", "terminal");
  AUTO_CLOSE int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return fail_errno(e, "open terminal", "its other end");
  if (size.ws_row > 0 && ioctl(slave, TIOCSWINSZ, &size) < 0) return fail_errno(e, "resize", "terminal");
  // An exec's terminal is not the container's console.
  if (r->container < 0 && !bind_console(r, slave, e)) return false;
  r->tty = true;
  // Who is born twice has no session yet.
  if (r->born == NULL && ioctl(slave, TIOCSCTTY, 0) < 0) return fail_errno(e, "set controlling", "terminal");
  for (int fd = 0; fd < 3; fd++)
    if (dup2(slave, fd) < 0) return fail_errno(e, "duplicate", "terminal");
  return send_descriptor(r->status, master, TERMINAL_BYTE) ? true : fail_errno(e, "send", "terminal");
}
