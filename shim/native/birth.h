// The second birth of a process that joins a pid namespace where others may look at it. birth.c tells why and how.
#pragma once
#include "runner.h"

struct sock_filter;

// The children of the caller are born in this pid namespace from now on, if that has this inode; 0: any.
bool birth_join(const char *pid_ns, uint64_t inode, struct err *e);
// Closes all but the standard streams and these two; -1: none.
bool birth_keep(int a, int b, struct err *e);
// Closes what the second process must not have. Nothing to do, here and in birth(), for who is born once.
bool birth_prepare(struct runner *r, struct err *e);
// Goes on as the second process; the first, which called it, is gone.
bool birth(struct runner *r, struct err *e);
// The same where nobody else is: nothing has to be closed before.
bool birth_early(struct runner *r, struct err *e);
// The file system context of a procfs of the pid namespace that was joined; -1 with errno. He who hands it over lives where
// guests may take hold of him: what is mounted from it must be looked at before it is used.
int birth_proc(void);
// Whether a filter lets pass what birth() does.
bool birth_is_allowed(const struct sock_filter *filter, size_t count);

bool send_descriptor(int to, int fd, char byte);
