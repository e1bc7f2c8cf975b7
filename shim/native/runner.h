// The container's or an exec's process between clone and exec: it runs its plan, and tells its supervisor how far it came.
#pragma once
#include <limits.h>

#include "plan.h"

struct runner {
  struct plan plan;
  int status;      // socket to the supervisor: READY_BYTE before exec, an error's fields, the terminal's descriptor
  int container;   // pidfd of the container's main process for an exec, else -1
  int template;    // the mount template, or -1
  int root;        // the new root as a detached mount; after OP_ENTER_ROOT "/" itself
  int user_ns;     // the pod's, or -1: what is opened for it has its ids mapped
  bool is_apart;   // in a mount namespace of the user namespace's own
  int nodes;       // the mount that directories, nodes and links are made in before the root is entered; -1: the root
  int parent;      // the directory that something was made in last, and its path; -1: none
  char parent_path[PATH_MAX];
  int null_mount, empty_mount;  // what masks a file and a directory; made at the first use
  pid_t *born;     // of who is born twice (birth.c), until then: where the pid is told to the supervisor
  bool tty;
  const char *mount_label;  // or NULL
  int *slots;
  size_t slot_count;
  mode_t umask;    // of the program
  bool ready;      // READY_BYTE was sent
  bool caps_pending;
  uint64_t effective, permitted, inheritable, ambient;
};

#define READY_BYTE 'R'     // everything but exec is done
#define TERMINAL_BYTE 'T'  // a terminal's descriptor comes with it

// Tells the supervisor that all but the exec is done.
bool runner_ready(struct runner *r, struct err *e);
// Runs the plan; returns only with an error.
void runner_run(struct runner *r, struct err *e);

bool op_overlay(struct runner *r, struct reader *in, struct err *e);
bool op_open_overlay(struct runner *r, struct reader *in, struct err *e);
bool op_mount_label(struct runner *r, struct reader *in, struct err *e);
bool op_root_bind(struct runner *r, struct reader *in, struct err *e);
bool op_open_mount(struct runner *r, struct reader *in, struct err *e);
bool op_user_ns(struct runner *r, struct reader *in, struct err *e);
bool op_join_user(struct runner *r, struct reader *in, struct err *e);
bool op_enter_root(struct runner *r, struct reader *in, struct err *e);
bool op_root_read_only(struct runner *r, struct reader *in, struct err *e);
bool set_slot(struct runner *r, uint64_t slot, int fd, struct err *e);

bool op_mount_slot(struct runner *r, struct reader *in, struct err *e);
bool op_mount_fs(struct runner *r, struct reader *in, struct err *e);
bool op_open_fs(struct runner *r, struct reader *in, struct err *e);
bool op_nodes(struct runner *r, struct reader *in, struct err *e);
bool op_mkdir(struct runner *r, struct reader *in, struct err *e);
bool op_mknod(struct runner *r, struct reader *in, struct err *e);
bool op_symlink(struct runner *r, struct reader *in, struct err *e);
bool op_mask(struct runner *r, struct reader *in, struct err *e);
bool op_read_only_path(struct runner *r, struct reader *in, struct err *e);
bool op_mount_attributes(struct runner *r, struct reader *in, struct err *e);
bool op_sysctl(struct runner *r, struct reader *in, struct err *e);
bool op_cwd(struct runner *r, struct reader *in, struct err *e);
bool op_terminal(struct runner *r, struct reader *in, struct err *e);

// In the user namespace that was joined: its root, who owns what is made from now on.
bool become_root(struct err *e);
bool join_keyring(struct err *e);
bool op_own_streams(struct runner *r, struct reader *in, struct err *e);
bool op_credentials(struct runner *r, struct reader *in, struct err *e);
bool op_seccomp(struct runner *r, struct reader *in, struct err *e);
bool op_copy(struct runner *r, struct reader *in, struct err *e);
bool op_exec(struct runner *r, struct reader *in, struct err *e);

// A path inside the root, as an O_PATH descriptor; -1 with e filled.
enum target_kind { TARGET_ANY, TARGET_DIRECTORY, TARGET_FILE };
enum target_flag {
  TARGET_MAKE = 1,      // missing parts are made, never through a link that leaves the root
  TARGET_NO_LINKS = 2,  // no symlink on any component (runc CVE-2019-19921, 2026-41579)
};
int open_target(int root, const char *path, enum target_kind kind, int flags, struct err *e);
