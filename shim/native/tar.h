// Reads a tar stream (POSIX ustar and pax, GNU, v7) from a descriptor. Nothing in the stream is believed: checksums are
// checked, numbers are read whole or refused, sizes are bounded, and a stream that ends in the middle is an error.
#pragma once
#include <time.h>

#include "common.h"
#include "sum.h"

#define TAR_BLOCK 512u
#define TAR_PATH_LIMIT 4096u        // with the NUL, as the kernel has it
#define LAYER_PATH_LIMIT 3840u      // in a layer: the rest is for where the layer lies, else nobody could remove the file
#define TAR_SPECIAL_LIMIT (1u << 20)  // a pax header or a GNU long name
#define TAR_XATTR_LIMIT 64u         // a file's extended attributes
#define TAR_SEGMENT_LIMIT (1u << 20)  // of a sparse file

struct tar_xattr {
  const char *name;  // "user.mime_type"
  const uint8_t *value;
  size_t length;
};

struct tar_entry {
  char type;         // '0' regular, '1' hard link, '2' symlink, '3' char, '4' block, '5' directory, '6' fifo
  const char *name;  // as it stands in the stream, never empty
  const char *link;  // target of '1' and '2'
  mode_t mode;       // 07777 at most
  uid_t uid;
  gid_t gid;
  uint64_t size;     // of the file, holes included; 0 for all but regular files
  struct timespec mtime;
  unsigned major, minor;
  size_t xattr_count;
  struct tar_xattr xattrs[TAR_XATTR_LIMIT];
};

struct tar_segment {  // data of a file; what lies between two is a hole
  uint64_t offset, length;
};

struct tar {
  int fd;
  uint8_t *buffer;
  size_t at, end;
  uint64_t offset;   // of the next byte in the stream, for errors and for bounds
  uint64_t left;     // data of the current entry that is not read yet
  uint32_t padding;  // behind that data
  bool ended;        // the descriptor gave EOF
  uint8_t *pax;      // raw records of the current entry; its strings point into it
  size_t pax_length;
  char *long_name, *long_link;
  struct tar_segment *map;  // of the current entry: in order, nothing twice, in all as long as its data
  size_t map_count, map_size, map_at;
  uint64_t map_done;  // of segment map_at
  uint64_t pieces, bytes;  // written so far, of all entries
  uint64_t content;        // the sum of it
  struct content file;
  bool map_half;      // a pax header gave the offset of a segment, its length comes next
  char name[256 + 2], target[100 + 1];
};

bool tar_open(struct tar *tar, int fd, struct err *e);
void tar_close(struct tar *tar);
// The next entry; what is left of the one before is skipped. *got is false at the end of the archive. Pointers in
// `entry` hold until the next call.
bool tar_next(struct tar *tar, struct tar_entry *entry, bool *got, struct err *e);
// Writes the current entry's data to the empty file `fd`, which gets the entry's size.
bool tar_write(struct tar *tar, const struct tar_entry *entry, int fd, struct err *e);
// Reads on to EOF, so that the sender is not cut off.
bool tar_drain(struct tar *tar, struct err *e);
