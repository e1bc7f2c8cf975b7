// The first process of a pid namespace that the containers of a pod share: it reaps, and nothing else.
#pragma once
#include "common.h"

struct init {
  int argc;  // this program's arguments: the init overwrites its copy, so that containers do not read them
  char **argv;
  uid_t uid, gid;  // of the host: who owns what it is made with
  uid_t id;        // who it is to be
  pid_t pid;
  int go, ready;  // it ends when the first is closed without a word
};

// No user of an image by convention, and not the overflow uid that files of other user namespaces seem to have.
#define INIT_ID 65533

// Makes the namespaces of these clone flags with a process in them, which waits. With CLONE_NEWPID it can become an init;
// then descriptor 4 is the mount template that it lives in.
bool init_start(struct init *init, unsigned long flags, struct err *e);
// It becomes what it is to be, and waits again.
bool init_settle(struct init *init, struct err *e);
// From here on it lives without its maker.
bool init_go(struct init *init, struct err *e);
void init_abandon(struct init *init);

// Writes who it is into the file that its namespace is pinned on, and ends the one that a file names: it is killed, and
// with it the kernel kills all in its namespace. A file that names none is fine.
bool init_record(const struct init *init, int file, struct err *e);
bool init_end(const char *path, struct err *e);
