// berth-shim unpack --to DIR --from SOCKET [--token HEX] [--report FILE] [--decompress PROGRAM LIMIT] [--no-sync]
//
// Reads a layer from the unix socket and makes it an overlay layer in DIR, which is there and empty. With --decompress
// PROGRAM (tools/berth-decompress.c) stands before it and gives at most LIMIT bytes of tar; without it the socket does.
// A child that is confined before the first byte (unpack-jail.c) does the work. Beside it this process keeps what the
// child must not have: it marks opaque directories (trusted.* needs CAP_SYS_ADMIN), writes the report and syncs.
//
// Report, on stdout or in FILE (made new, 0600): fields with a NUL behind each, a record is its kind and its fields:
//   entries N          bytes N            what the layer has
//   content HEX        the sum of all files' bytes as tree-usage --content has it; not where one was replaced by another
//   root MODE UID GID  the layer says what its root has (octal, decimal); without it the root is 755 0 0
//   opaque-root        nothing of the lower layers shows
//   parent PATH        a directory that no entry named; lower layers may know its attributes
//   hardlink PATH TARGET   the target is not in this layer, nothing is at PATH
//   end                always last
// With --decompress, which wants --report, stdout gets the SHA-256 of the tar in hex and behind it, on a line each, what
// tree-usage --sum says of DIR, with --content where the report has none. It is looked at while DIR is synced.
// Exit 0; 1 with one line "what: object: cause" on stderr; 64 for a wrong command line; what decompress.h says of a stream.
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "decompress.h"
#include "sys.h"

struct options {
  const char *to, *from, *token, *report, *program, *limit;
  bool sync;
};

struct decompressor {
  pid_t pid;   // 0: none
  int result;  // it writes the digest there
};

void print_error(const struct err *e) {
  char line[512];
  const int wanted = snprintf(line, sizeof line - 1, "%s: %s: %s", e->what, e->object, strerror(e->number));
  size_t length = wanted < 0 ? 0 : strnlen(line, sizeof line - 2);
  for (size_t i = 0; i < length; i++)
    if ((uint8_t)line[i] < ' ' || line[i] == 0x7f) line[i] = '?';  // names come from the layer
  line[length++] = '\n';
  (void)write_all(STDERR_FILENO, line, length);
}

static bool read_options(int argc, char **argv, struct options *o) {
  *o = (struct options){.sync = true};
  for (int i = 0; i < argc; i++) {
    const struct {
      const char *name;
      const char **at;
    } known[] = {{"--to", &o->to},
                 {"--from", &o->from},
                 {"--token", &o->token},
                 {"--report", &o->report},
                 {"--decompress", &o->program}};
    size_t k = 0;
    while (k < 5 && strcmp(argv[i], known[k].name) != 0) k++;
    if (k < 5 && i + 1 < argc) *known[k].at = argv[++i];
    else if (strcmp(argv[i], "--no-sync") == 0) o->sync = false;
    else if (strcmp(argv[i], "--sync") != 0) return false;
    if (k == 4 && i + 1 < argc) o->limit = argv[++i];
  }
  return o->to != NULL && o->from != NULL && (o->program == NULL) == (o->limit == NULL) &&
         (o->program == NULL || o->report != NULL);
}

int open_empty(const char *path, struct err *e) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    fail_errno(e, "open directory", path);
    return -1;
  }
  char buffer[1024];
  long length = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
  // "." and ".." alone: two records of 24 bytes.
  if (length >= 0 && length <= 48) return fd;
  if (length < 0) fail_errno(e, "read directory", path);
  else fail(e, ENOTEMPTY, "unpack into", path);
  close(fd);
  return -1;
}

static int connect_to(const struct options *o, struct err *e) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(o->from) >= sizeof address.sun_path) return fail(e, ENAMETOOLONG, "connect", o->from), -1;
  memcpy(address.sun_path, o->from, strlen(o->from));
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) fail_errno(e, "connect", o->from);
  else if (o->token != NULL && dprintf(fd, "%s\n", o->token) < 0) fail_errno(e, "write token", o->from);
  else return fd;
  close_fd(&fd);
  return -1;
}

static int child(const struct options *o, int dir, int from, int to) {
  struct err e = {0};
  // Far more than unpack-tree.c allows itself: for a child that a layer has taken over.
  const uint64_t seconds = o->limit == NULL ? 3600 : 60 + (strtoull(o->limit, NULL, 10) >> 20);
  // The helper of the daemon must not outlive it, nor this process its parent.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) fail_errno(&e, "prctl", "death signal");
  else if (dup2(from, STDIN_FILENO) < 0 || dup2(to, STDOUT_FILENO) < 0) fail_errno(&e, "dup2", "unpacker");
  else if (unpack_confine(dir, seconds, &e)) {
    const int root = openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root >= 0 && unpack_stream(root, STDIN_FILENO, STDOUT_FILENO, &e)) return 0;
    if (root < 0) fail_errno(&e, "open directory", "/");
  }
  char number[16];
  (void)snprintf(number, sizeof number, "%d", e.number);
  const char *fields[] = {"error", number, e.what, e.object};
  for (size_t i = 0; i < 4; i++)
    if (!write_all(STDOUT_FILENO, fields[i], strlen(fields[i]) + 1)) break;
  return 1;
}

// No more is kept than a field may have, and no more taken than a report: who writes it may have been taken over by a layer.
const char *next_field(struct fields *f) {
  if (f->text == NULL && (f->text = malloc(TAR_PATH_LIMIT)) == NULL) return NULL;
  for (size_t length = 0; length < TAR_PATH_LIMIT && f->total++ < RECORDS_LIMIT; length++) {
    const int byte = getc_unlocked(f->in);
    if (byte == EOF) return NULL;
    f->text[length] = (char)byte;
    if (byte == 0) return f->text;
  }
  return NULL;
}

int fields_of(const char *kind) {
  static const struct {
    const char *kind;
    int fields;
  } known[] = {{"entries", 1}, {"bytes", 1}, {"content", 1}, {"root", 3}, {"opaque-root", 0}, {"parent", 1}, {"hardlink", 2}};
  for (size_t k = 0; k < sizeof known / sizeof *known; k++)
    if (strcmp(kind, known[k].kind) == 0) return known[k].fields;
  return -1;
}

static bool mark_opaque(int dir, const char *path, struct err *e) {
  AUTO_CLOSE int fd = sys_openat2(dir, path, O_RDONLY | O_DIRECTORY, 0,
                                  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  if (fd < 0) return fail_errno(e, "open directory", path);
  return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) == 0 || fail_errno(e, "mark opaque", path);
}

static bool child_error(struct fields *f, struct err *e) {
  uint64_t number = 0;
  const char *text = next_field(f);
  if (text == NULL || !parse_number(text, 4095, &number)) return fail(e, EPROTO, "unpack", "error record");
  AUTO_FREE char *what = (text = next_field(f)) == NULL ? NULL : strdup(text);
  text = next_field(f);
  return fail(e, (int)number, what == NULL ? "unpack" : what, text == NULL ? "layer" : text);
}

static bool pass_record(struct fields *f, const char *kind, int count, FILE *report, struct err *e) {
  bool good = fputs(kind, report) >= 0 && fputc(0, report) == 0;
  for (int i = 0; i < count; i++) {
    const char *text = next_field(f);
    if (text == NULL) return fail(e, EPROTO, "unpack", "cut record");
    good = good && fputs(text, report) >= 0 && fputc(0, report) == 0;
  }
  return good || fail_errno(e, "write", "report");
}

static bool pass_records(int dir, struct fields *f, FILE *report, bool *summed, struct err *e) {
  for (const char *kind; (kind = next_field(f)) != NULL;) {
    const int count = fields_of(kind);
    *summed |= strcmp(kind, "content") == 0;
    if (count >= 0) {
      if (!pass_record(f, kind, count, report, e)) return false;
    } else if (strcmp(kind, "opaque") == 0) {
      const char *path = next_field(f);
      if (path == NULL) return fail(e, EPROTO, "unpack", "cut record");
      if (!mark_opaque(dir, path, e)) return false;
    } else if (strcmp(kind, "error") == 0) {
      return child_error(f, e);
    } else if (strcmp(kind, "end") == 0) {
      return pass_record(f, "end", 0, report, e);
    } else {
      return fail(e, EPROTO, "unpack", "unknown record");
    }
  }
  return fail(e, EPROTO, "unpack", "no end");
}

static bool collect(int dir, int from, const char *path, bool *summed, struct err *e) {
  FILE *report = stdout;
  if (path != NULL) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    report = fd < 0 ? NULL : fdopen(fd, "w");
    if (report == NULL) return fail_errno(e, "make report", path);
  }
  struct fields f = {.in = fdopen(from, "r")};
  bool good = f.in != NULL ? pass_records(dir, &f, report, summed, e) : fail_errno(e, "unpack", "records");
  if (good && fflush(report) != 0) good = fail_errno(e, "write", "report");
  if (path != NULL && fclose(report) != 0 && good) good = fail_errno(e, "write", path);
  if (f.in != NULL) fclose(f.in);
  free(f.text);
  return good;
}

static bool end_of(pid_t pid, bool good, struct err *e) {
  int status;
  if (!good) kill(pid, SIGKILL);  // our own child, not yet waited for: the pid is its
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(e, "wait", "unpacker");
  if (WIFSIGNALED(status) && (good || e->number == EPROTO)) {
    char what[64];
    (void)snprintf(what, sizeof what, "unpacker was killed by signal %d", WTERMSIG(status));
    return fail(e, WTERMSIG(status) == SIGSYS ? ENOSYS : EIO, what, "layer");
  }
  return good && (status == 0 || fail(e, EIO, "unpack", "layer"));
}

// The descriptor that the tar comes from; `from` is the socket.
static int start_decompressor(const struct options *o, int from, struct decompressor *d, struct err *e) {
  int tar[2], result[2];
  if (access(o->program, X_OK) < 0) return fail_errno(e, "execute", o->program), -1;
  if (pipe2(tar, O_CLOEXEC) < 0 || pipe2(result, O_CLOEXEC) < 0) return fail_errno(e, "pipe", "tar"), -1;
  d->pid = fork();
  if (d->pid == 0) {
    char *const argv[] = {(char *)"berth-decompress", (char *)o->limit, NULL}, *const environment[] = {NULL};
    // The agent's RUN leaves 0 to 2 open, so that none of these is one of them.
    if (dup2(from, STDIN_FILENO) < 0 || dup2(tar[1], STDOUT_FILENO) < 0) _exit(DECOMPRESS_FAILED);
    if (result[1] == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(result[1], 3) < 0) _exit(DECOMPRESS_FAILED);
    execve(o->program, argv, environment);
    _exit(DECOMPRESS_FAILED);
  }
  close(tar[1]);
  close(result[1]);
  d->result = result[0];
  if (d->pid > 0) return tar[0];
  close(tar[0]);
  return fail_errno(e, "fork", "decompressor"), -1;
}

// Its own end says more than what the unpacker made of a stream that was cut by it.
static int end_of_decompressor(const struct decompressor *d, bool good, struct err *e) {
  int status;
  if (d->pid <= 0) return good ? 0 : 1;
  // EPIPE is the unpacker's word for a stream that ended: then this one has, and how is to be told.
  const bool cut = e->number == EPIPE || e->number == EPROTO;
  if (!good && !cut) kill(d->pid, SIGKILL);
  while (waitpid(d->pid, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(e, "wait", "decompressor"), 1;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : DECOMPRESS_KILLED + WTERMSIG(status);
  if (code == DECOMPRESS_LARGE || (code >= DECOMPRESS_CUT && code <= DECOMPRESS_DICTIONARY)) return code;
  if (code == 0 || (!good && !cut)) return good ? 0 : 1;
  char what[64];
  const char *how = code > DECOMPRESS_KILLED ? "was killed by signal" : "ended with";
  (void)snprintf(what, sizeof what, "decompressor %s %d", how, code % DECOMPRESS_KILLED);
  fail(e, ENOSYS, what, "layer");
  return 1;
}

static bool pass_digest(int from, struct err *e) {
  char hex[64];
  AUTO_CLOSE int result = from;
  const ssize_t length = read(result, hex, sizeof hex);  // its writer has ended: all of it is there
  if (length != sizeof hex) return fail(e, EPROTO, "decompress", "digest");
  return (write_all(STDOUT_FILENO, hex, sizeof hex) && write_all(STDOUT_FILENO, "\n", 1)) || fail_errno(e, "write", "digest");
}

// The disk works meanwhile. What it takes to note where a file in very many pieces lies may not be counted yet.
static bool sync_and_tell(const struct options *o, int dir, bool summed, struct err *e) {
  int status;
  const pid_t pid = o->sync ? fork() : 0;
  if (pid < 0) return fail_errno(e, "fork", "sync");
  if (o->sync && pid == 0) _exit(syncfs(dir) == 0 ? 0 : errno);
  const bool good = o->program == NULL || tell_tree(o->to, !summed, e);
  if (!o->sync) return good;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(e, "wait", "sync");
  if (status == 0 || !good) return good;
  return fail(e, WIFEXITED(status) ? WEXITSTATUS(status) : EIO, "sync", o->to);
}

static int unpack(const struct options *o, struct err *e) {
  int records[2];
  bool summed = false;
  struct decompressor d = {0};
  AUTO_CLOSE int dir = open_empty(o->to, e);
  if (dir < 0) return 1;
  AUTO_CLOSE int from = connect_to(o, e);
  if (from < 0) return 1;
  AUTO_CLOSE int tar = o->program == NULL ? keep_fd(&from) : start_decompressor(o, from, &d, e);
  close_fd(&from);
  if (tar < 0) return 1;
  if (pipe2(records, O_CLOEXEC) < 0) return fail_errno(e, "pipe", "records"), end_of_decompressor(&d, false, e);
  const pid_t pid = fork();
  if (pid == 0) {
    close(records[0]);
    _exit(child(o, dir, tar, records[1]));
  }
  close(records[1]);
  close_fd(&tar);
  if (pid < 0) fail_errno(e, "fork", "unpacker");
  bool good = pid > 0 && end_of(pid, collect(dir, records[0], o->report, &summed, e), e);
  const int code = end_of_decompressor(&d, good, e);
  if (code == 0 && d.pid > 0 && !pass_digest(d.result, e)) return 1;
  return code == 0 && !sync_and_tell(o, dir, summed, e) ? 1 : code;
}

int role_unpack(int argc, char **argv) {
  struct options o;
  struct err e = {0};
  if (!read_options(argc, argv, &o)) {
    (void)dprintf(STDERR_FILENO, "unpack: usage: --to DIR --from SOCKET [--token HEX] [--report FILE] "
                                 "[--decompress PROGRAM LIMIT] [--no-sync]\n");
    return 64;
  }
  const int code = unpack(&o, &e);
  if (code == 1) print_error(&e);
  return code;
}
