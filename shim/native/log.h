// The CRI log: "<time> <stdout|stderr> <P|F> <line>\n" for each line or piece of one.
#pragma once
#include "common.h"

#define LOG_LINE (16u << 10)  // longer lines are split, marked P

struct log {
  int fd;  // -1: no log
  const char *path, *directory;  // the caller's
  bool torn;  // the last write stopped in a line (disk full)
  bool exact;  // a last line without its newline is P, not F
};
struct log_rest {  // the unfinished line of a stream
  char *data;
  size_t length;
};

// Opens the file below the directory, made when missing: never through a link, and only a regular file.
bool log_open(struct log *log, const char *path, const char *directory, struct err *e);
// Opens the path again; on an error the old file stays.
bool log_reopen(struct log *log, struct err *e);
// Writes the whole lines that are in rest and bytes. A failing write loses its lines and nothing else.
void log_bytes(struct log *log, const char *stream, struct log_rest *rest, const char *bytes, size_t length);
// Writes an unfinished line.
void log_end(struct log *log, const char *stream, struct log_rest *rest);

// Memory that is used while bytes are moved, and given back when the supervisor waits: 64 KiB to read into, the rest
// to put log records together.
#define SCRATCH_READ (64u << 10)
#define SCRATCH_RECORDS (128u << 10)
struct scratch {
  char read[SCRATCH_READ];
  char records[SCRATCH_RECORDS];
};
struct scratch *scratch_get(void);  // NULL: no memory
bool scratch_release(void);         // false: none was held
