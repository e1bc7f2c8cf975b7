// The supervisor of one container: what its parts share.
#pragma once
#include "log.h"
#include "loop.h"
#include "plan.h"

struct client;

// The container's main process, or an exec.
struct process {
  struct process *next;
  pid_t pid;    // 0: not made
  int pidfd;
  pid_t *born;  // of who is born twice (birth.c), until that is seen: where the kernel writes the second pid
  int early_signal;  // what was to be sent before
  int mark;     // of an exec: the cgroup namespace that it and all that comes from it are alone in; -1: none
  bool started;  // exec worked
  bool ready;    // it came as far as exec
  bool ended;    // reaped
  bool tty, paused, is_marked;
  int code, signal;
  uint64_t started_at, finished_at;      // ns since the epoch
  int64_t ended_ms, data_ms;             // monotonic: its end, its last output
  struct err error;                      // why exec did not work
  struct source status, in, out[2];
  struct log_rest rest[2];
  struct client *client;                 // of an exec; NULL when the connection is lost
  uint32_t id;                           // of its FRAME_EXEC
};

#define CGROUPS_MOST 32  // v1 has about a dozen hierarchies

struct supervisor {
  int lock, template, report;  // report: stdout until the start is told
  struct source listener, signals;
  struct process container;
  struct process *execs;
  struct client *clients, *starter;  // starter: who sent FRAME_GO
  struct log log;
  const char *cgroups[CGROUPS_MOST];
  uint8_t cgroup_versions[CGROUPS_MOST];
  size_t cgroup_count;
  unsigned stdio;
  bool stdin_once, waiting, ending, stopped;
  const char *pid_ns;  // that the container joins; of use until its clone
  uint64_t pid_ns_inode;  // that it must have, or 0
  bool shares_pid_ns;  // with others than the host
  bool own_pid_ns;  // the end of the main process ends all others
  bool is_scope;    // the cgroup was made by systemd, which removes it
  int scope_events;     // its memory.events
  struct source slice;  // and of what is above it
  int64_t slice_kills;  // what the latter told when the former told of none
  bool oom_killed;  // the kernel has killed any of it for lack of memory
  bool killed;      // SIGKILL was asked for before it ended
  uint32_t starter_id;
  int64_t end_deadline;
};
extern struct supervisor shim;

// On the page that initialised data takes anyway.
#define BESIDE_DATA __attribute__((section(".data")))

#define is_container(p) ((p) == &shim.container)

// Memory by the page, given back at once: the heap's own pages would stay for the container's life, in every supervisor.
void *pages_get(size_t length);  // zeroed; NULL: no memory
void pages_free(void *pages, size_t length);
// A copy that stays.
char *keep_text(const char *text);

// process.c
struct spawn {
  uint64_t flags;      // CLONE_NEWPID, …
  const char *cgroup;  // v2 directory, or ""
  unsigned stdio;      // enum exec_flag
  struct plan plan;    // the rest of it
  int container, template;
  bool twice;          // born twice
  const char *pid_ns;  // to join for that, or NULL
  uint64_t pid_ns_inode;
};
void process_init(struct process *p);
bool process_spawn(struct process *p, const struct spawn *s, struct err *e);
void process_reap(void);              // all children that ended
void process_input_ready(void *owner, uint32_t events);
void process_resume(struct process *p);
void process_close(struct process *p);
void process_kill_tree(struct process *p, int signal);

// exec.c
bool exec_start(struct client *c, uint32_t id, unsigned flags, const uint8_t *data, size_t length, struct err *e);
void exec_started(struct process *p);  // or failed: p->error
void exec_check(struct process *p);    // ends it when there is nothing left to wait for
int exec_timeout(int64_t now);         // ms to the next deadline, -1: none
void exec_check_all(void);
void exec_finish_all(void);

// client.c
void client_accept(void *owner, uint32_t events);
void client_send(struct client *c, uint16_t type, uint32_t id, const void *payload, size_t length);
// The payload stands behind FRAME_HEADER free bytes.
void client_send_framed(struct client *c, uint16_t type, uint32_t id, char *frame, size_t length);
void client_error(struct client *c, uint32_t id, const struct err *e);
#define NUMBER_FIELD 13
size_t pack_numbers(uint8_t *out, size_t count, const uint64_t *numbers);
void client_numbers(struct client *c, uint16_t type, uint32_t id, size_t count, const uint64_t *numbers);
bool client_is_full(const struct client *c);
void client_detach(struct client *c);
void clients_output(int stream, char *frame, size_t length);  // the container's, to who is attached
void clients_input(struct process *p);                        // stdin takes bytes again
void clients_exit(const uint64_t numbers[4]);
void clients_flush(int64_t deadline);
void clients_sweep(void);  // frees what is closed

// supervise.c
void restore_signals(void);
bool cgroup_operation(struct operation *op, struct err *e);  // makes, limits
void look_for_kills(void);  // of a scope, while it can be asked
void start_result(void);   // the container's exec worked or failed
void end_begin(void);      // its main process ended
bool end_check(void);
