// How the container's output becomes lines of a CRI log.
#include "../log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

static char directory[] = "/tmp/berth-log-XXXXXX";
static char path[64], other[64];

static struct log open_log(void) {
  struct log log = {.fd = -1};
  struct err e;
  unlink(path);
  if (!log_open(&log, path, directory, &e)) printf("# %s %s: %d\n", e.what, e.object, e.number);
  return log;
}

static void close_log(struct log *log) {
  if (log->fd >= 0) close(log->fd);
}

// The log's lines without their times; freed by the caller.
static char *lines(const char *of) {
  FILE *file = fopen(of, "r");
  char *all = NULL, *line = NULL;
  size_t size = 0, room = 0;
  ssize_t n;
  FILE *out = open_memstream(&all, &size);
  while (file != NULL && (n = getline(&line, &room, file)) > 0) fputs(strchr(line, ' ') + 1, out);
  fclose(out);
  if (file != NULL) fclose(file);
  free(line);
  return all;
}

static bool logged(const char *expected) {
  char *text = lines(path);
  const bool same = strcmp(text, expected) == 0;
  if (!same) printf("# got: %.200s\n", text);
  free(text);
  return same;
}

static void whole_and_partial(void) {
  struct log log = open_log();
  struct log_rest rest = {0};
  log_bytes(&log, "stdout", &rest, "one\ntwo\n\nhal", 12);
  claim(logged("stdout F one\nstdout F two\nstdout F \n"), "whole lines are written at once, an empty one too");
  log_bytes(&log, "stdout", &rest, "f\n", 2);
  claim(logged("stdout F one\nstdout F two\nstdout F \nstdout F half\n"), "a line that comes in pieces is one line");
  claim(rest.data == NULL, "no memory is held between lines");
  log_bytes(&log, "stderr", &rest, "end", 3);
  log_end(&log, "stderr", &rest);
  claim(logged("stdout F one\nstdout F two\nstdout F \nstdout F half\nstderr F end\n"), "the last line is closed with F");
  log.exact = true;
  log_bytes(&log, "stderr", &rest, "end\nrest", 8);
  log_end(&log, "stderr", &rest);
  claim(logged("stdout F one\nstdout F two\nstdout F \nstdout F half\nstderr F end\nstderr F end\nstderr P rest\n"),
        "the last line of an exact log is P when it has no newline");
  close_log(&log);
}

// The tag and length of each line, as "P16384 F1 ".
static char *shape(void) {
  char *text = lines(path), *all = NULL;
  size_t size;
  FILE *out = open_memstream(&all, &size);
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
    fprintf(out, "%c%zu ", line[7], strlen(line) - 9);
  fclose(out);
  free(text);
  return all;
}

static void split(size_t length, size_t piece, bool newline, const char *expected) {
  struct log log = open_log();
  struct log_rest rest = {0};
  char *bytes = malloc(length + 1), text[128];
  memset(bytes, 'x', length);
  bytes[length] = '\n';
  const size_t all = length + (newline ? 1 : 0);
  for (size_t at = 0; at < all; at += piece) log_bytes(&log, "stdout", &rest, bytes + at, all - at < piece ? all - at : piece);
  log_end(&log, "stdout", &rest);
  char *got = shape();
  snprintf(text, sizeof text, "%zu bytes in pieces of %zu %s newline are %s", length, piece, newline ? "with" : "without", expected);
  claim(strcmp(got, expected) == 0, text);
  free(got);
  free(bytes);
  close_log(&log);
}

static void long_lines(void) {
  split(LOG_LINE, 65536, true, "F16384 ");
  split(LOG_LINE, 1000, false, "F16384 ");
  split(LOG_LINE + 1, 65536, true, "P16384 F1 ");
  split(LOG_LINE + 1, 1, false, "P16384 F1 ");
  split(3 * LOG_LINE, 10000, true, "P16384 P16384 F16384 ");
  split(200000, 65536, true, "P16384 P16384 P16384 P16384 P16384 P16384 P16384 P16384 P16384 P16384 P16384 P16384 F3392 ");
}

static void many_lines(void) {
  struct log log = open_log();
  struct log_rest rest = {0};
  char *bytes = malloc(60000);
  for (size_t i = 0; i < 60000; i += 2) memcpy(bytes + i, "a\n", 2);
  log_bytes(&log, "stdout", &rest, bytes, 60000);
  char *text = lines(path);
  claim(strlen(text) == 30000 * strlen("stdout F a\n"), "more records than fit into memory at once are all written");
  free(text);
  free(bytes);
  close_log(&log);
}

static void format(void) {
  struct log log = open_log();
  struct log_rest rest = {0};
  char line[128] = "";
  log_bytes(&log, "stdout", &rest, "x\n", 2);
  FILE *file = fopen(path, "r");
  int year, month, day, hour, minute, second, end = 0;
  long nanoseconds;
  const bool read = file != NULL && fgets(line, sizeof line, file) != NULL;
  sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%9ld+00:00 stdout F x\n%n", &year, &month, &day, &hour, &minute, &second, &nanoseconds, &end);
  claim(read && end == (int)strlen(line) && end == (int)strlen("2026-01-01T00:00:00.000000000+00:00 stdout F x\n"),
        "a record is time with nanoseconds and UTC offset, stream, tag and line");
  if (file != NULL) fclose(file);
  close_log(&log);
}

static bool refused(const char *at, const char *below) {
  struct log log = {.fd = -1};
  struct err e;
  const bool opened = log_open(&log, at, below, &e);
  close_log(&log);
  return !opened;
}

static void refusals(void) {
  char beyond[128];
  unlink(path);
  claim(symlink(other, path) == 0 && refused(path, directory) && access(other, F_OK) != 0, "a link is refused and what it names is not made");
  unlink(path);
  claim(mkfifo(path, 0600) == 0 && refused(path, directory), "a FIFO is refused without waiting for a reader");
  unlink(path);
  claim(mkdir(path, 0700) == 0 && refused(path, directory), "a directory is refused");
  rmdir(path);
  snprintf(beyond, sizeof beyond, "%s/../escape", directory);
  claim(refused(beyond, directory), "a path that leaves the directory is refused");
  claim(refused("/tmp/elsewhere", directory), "a path that is not below the directory is refused");
  snprintf(beyond, sizeof beyond, "%s-more/file", directory);
  claim(refused(beyond, directory), "a directory with the same beginning is another one");
}

static void reopening(void) {
  struct log log = open_log();
  struct log_rest rest = {0};
  struct err e;
  log_bytes(&log, "stdout", &rest, "before\n", 7);
  rename(path, other);
  symlink("/nowhere", path);
  claim(!log_reopen(&log, &e), "reopening onto a link fails");
  log_bytes(&log, "stdout", &rest, "still\n", 6);
  unlink(path);
  claim(log_reopen(&log, &e), "reopening makes the file again");
  log_bytes(&log, "stdout", &rest, "after\n", 6);
  char *old = lines(other);
  claim(strcmp(old, "stdout F before\nstdout F still\n") == 0 && logged("stdout F after\n"), "each line is in one of the two files");
  free(old);
  unlink(other);
  close_log(&log);
}

static void full_disk(void) {
  struct log log = {.fd = open("/dev/full", O_WRONLY | O_CLOEXEC)};
  struct log_rest rest = {0};
  log_bytes(&log, "stdout", &rest, "lost\nkept", 9);
  claim(rest.length == 4, "a write that fails loses its lines and nothing else");
  close(log.fd);
  log = open_log();
  log.torn = true;
  log_end(&log, "stdout", &rest);
  FILE *file = fopen(path, "r");
  claim(file != NULL && fgetc(file) == '\n', "after a torn record the next one starts a line of its own");
  if (file != NULL) fclose(file);
  close_log(&log);
}

int main(void) {
  if (mkdtemp(directory) == NULL) return 1;
  snprintf(path, sizeof path, "%s/0.log", directory);
  snprintf(other, sizeof other, "%s/other", directory);
  whole_and_partial();
  long_lines();
  many_lines();
  format();
  refusals();
  reopening();
  full_disk();
  scratch_release();
  unlink(path);
  claim(rmdir(directory) == 0, "nothing else was made");
  return tap_done();
}
