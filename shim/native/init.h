// The first process of a pid namespace that the containers of a pod share: it reaps, and nothing else.
#pragma once
#include "common.h"

struct init {
  int argc;  // this program's arguments: the init overwrites its copy, so that containers do not read them
  char **argv;
  pid_t pid;
  int go;  // it ends when this is closed without a word
  char namespace_path[40];
};

// Makes the namespace with its init, which waits for init_go. Descriptor 4 is the mount template that it goes to live in.
bool init_start(struct init *init, struct err *e);
// From here on it lives without its maker.
bool init_go(struct init *init, struct err *e);
void init_abandon(struct init *init);

// Writes who it is into the file that its namespace is pinned on, and ends the one that a file names: it is killed, and
// with it the kernel kills all in its namespace. A file that names none is fine.
bool init_record(const struct init *init, int file, struct err *e);
bool init_end(const char *path, struct err *e);
