// The inside of the layer unpacker: what runs confined, and what runs beside it.
#pragma once
#include <stdio.h>

#include "tar.h"

// The child's way: DIR becomes the only file system there is, rights and system calls shrink to what unpacking takes.
// `dir` is open on DIR. After this, "/" is the layer's root, of the descriptors only 0, 1 and 2 are left, and the process is
// killed when it has used so many seconds of a processor.
bool unpack_confine(int dir, uint64_t seconds, struct err *e);

// Starts what early_take needs; before the filter of system calls, which holds for it as well.
bool early_start(struct err *e);

// The disk is to begin with the file. True: the descriptor is given away. False where it has enough to do, or none was started.
bool early_take(int fd);

// Applies the tar stream of `from` under the directory `root` and writes the records to `to`:
// entries N, bytes N, content HEX, root MODE UID GID, opaque PATH, opaque-root, parent PATH, hardlink PATH TARGET, end.
bool unpack_stream(int root, int from, int to, struct err *e);

struct fix_options {
  const char *to, *layer, *records;  // no records: they are on stdin
  bool sync;
  char *const *lowers;  // topmost first
  size_t lower_count;
};
// Fills the empty directory `to` with what must lie above `layer`; no entries: nothing must.
bool fix_layer(const struct fix_options *o, uint64_t *entries, struct err *e);

// Cleans a name of the stream as containers' unpackers do: leading slashes and "." go, ".." takes the name before it.
// Writes "" for the root. False when it would leave the root.
bool clean_path(const char *name, char out[TAR_PATH_LIMIT]);

// A directory that must be there and have nothing in it; -1 with the error.
int open_empty(const char *path, struct err *e);

// Writes what `tree-usage --sum` does to stdout; with `read` as --content does.
bool tell_tree(const char *path, bool read, struct err *e);

// "what: object: text", on one line whatever bytes are in it.
void print_error(const struct err *e);

// Records are fields with a NUL behind each. They tell of layer bytes: read strictly, nothing in them is more than data.
#define RECORDS_LIMIT (12u << 20)  // a report has 8 MiB and a record
struct fields {
  FILE *in;
  char *text;  // to be freed
  uint64_t total;
};
const char *next_field(struct fields *f);  // holds until the next call; NULL at the end and for a cut or too long one
int fields_of(const char *kind);           // how many follow it; -1: it is no kind of the report
