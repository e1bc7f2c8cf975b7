// What every role of berth-shim uses: errors, fields, frames, small system helpers.
#pragma once
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

// Errors: a function that can fail returns false (or -1) after it filled `e`. Only main exits.
struct err {
  int number;        // errno
  char what[64];     // the operation: "mount"
  char object[256];  // on what: "/proc"
};
bool fail(struct err *e, int number, const char *what, const char *object);  // fills e, returns false
bool fail_errno(struct err *e, const char *what, const char *object);        // with errno

// Cleanup attributes.
void close_fd(int *fd);
int keep_fd(int *fd);  // gives it away: what is left is not closed
void free_pointer(void *pointer);
#define AUTO_CLOSE __attribute__((cleanup(close_fd)))
#define AUTO_FREE __attribute__((cleanup(free_pointer)))

// Reading fields. A reader never passes its end; the first wrong read makes it bad for good.
struct reader {
  const uint8_t *at, *end;
  bool bad;
};
uint64_t read_number(struct reader *r);
const char *read_string(struct reader *r, size_t *length);  // NUL-terminated in place; length may be NULL; "" when bad
bool reader_done(const struct reader *r);                   // all read, nothing bad

// Building a payload.
struct builder {
  uint8_t *data;
  size_t length, capacity;
  bool bad;  // out of memory
};
void add_number(struct builder *b, uint64_t value);
void add_string(struct builder *b, const void *bytes, size_t length);
void add_error(struct builder *b, const struct err *e);
void builder_free(struct builder *b);

// Frames on a blocking descriptor.
#define FRAME_HEADER 12
#define FRAME_LIMIT (4u << 20)
struct frame {
  uint32_t length;
  uint16_t type;
  uint32_t id;
};
bool write_all(int fd, const void *data, size_t length);
bool write_frame(int fd, uint16_t type, uint32_t id, const void *payload, size_t length);
bool write_error(int fd, uint32_t id, const struct err *e);
void pack_header(uint8_t out[FRAME_HEADER], const struct frame *f);
bool unpack_header(const uint8_t in[FRAME_HEADER], struct frame *f);  // false: over FRAME_LIMIT

// Numbers are read whole or refused.
bool parse_number(const char *text, uint64_t limit, uint64_t *out);

// Files.
bool write_file_at(int dir, const char *path, const char *value, size_t length, struct err *e);
bool read_file_at(int dir, const char *path, char *buffer, size_t size, size_t *length, struct err *e);  // NUL-terminated
// A file to write to, below what is seen to be the root of a procfs; what is mounted in it is not passed: no write is led
// elsewhere (runc CVE-2025-52881). -1 with `what` and the path in `e`.
int open_in_proc(int proc, const char *path, const char *what, struct err *e);
DIR *open_entries(int dir);  // a walk of its own over the directory; the descriptor stays the caller's
uint64_t now_ns(void);        // CLOCK_REALTIME
uint64_t monotonic_ms(void);

// Processes: one fixed state for everything that is started (house.md, "Guests and hosts").
void reset_signals(void);        // none has a handler or is ignored; a new program inherits that
void reset_process_state(void);  // signals unblocked, umask 0022, dumpable off; call in the child
void set_undumpable(void);
void become_idle(void);           // processors and disk are everybody else's first; as far as the kernel allows
void raise_descriptors(void);     // to all that it may have: a deep tree takes one a level, a container one a mount

// Roles; each gets argv behind its own name and returns the exit status.
int role_agent(int argc, char **argv);
int role_supervise(int argc, char **argv);  // [--without-kill-file] BUNDLE
int role_sandbox(int argc, char **argv);
int role_unpack(int argc, char **argv);      // the head of unpack.c tells the command line, as those of layer*.c do
int role_layer_fix(int argc, char **argv);
int role_layer_read(int argc, char **argv);
int role_layer_copy(int argc, char **argv);
int role_tree_usage(int argc, char **argv);
int role_tree_remove(int argc, char **argv);  // [--idle] PATH…: files and trees, missing ones are fine
int role_end_holder(int argc, char **argv);  // ID PATH MILLISECONDS: answers FRAME_END_HOLDER for the agent
int role_forward(int argc, char **argv);     // NETNS PORT SOCKET, the token on stdin
int role_cgroup_end(int argc, char **argv);  // DIRECTORY…: kill all in it, remove it
