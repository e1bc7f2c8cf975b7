// The layers of an image as one tree, read as overlayfs would show it, without a mount: works on every kernel.
#pragma once
#include <sys/stat.h>

#include "tar.h"

struct view {
  int *roots;  // topmost first
  size_t count;
  // The directory looked at last: one descriptor a layer that shows in it; none when it is no directory.
  char path[TAR_PATH_LIMIT];
  int *dirs;
  size_t dir_count;
  bool at_root;  // dirs are roots
  uint64_t steps, budget;  // processor time in microseconds, 0 for any: links can lead through very many directories
};

struct seen {
  bool found;
  struct stat info;
  int dir;           // the directory it is in, of the layer that shows it; valid until the next look
  const char *name;  // in `dir`; part of the path given
};

bool view_open(struct view *v, char *const *paths, size_t count, struct err *e);
void view_close(struct view *v);
// What is at `path` (cleaned); links are not followed, so a link in the middle means that nothing is there.
bool view_look(struct view *v, const char *path, struct seen *seen, struct err *e);
// The true path, links followed inside the root, the last name's as well when `last`. What is missing stays as it is.
bool view_resolve(struct view *v, const char *path, bool last, char out[TAR_PATH_LIMIT], struct err *e);

// With owner, mode, time and those extended attributes that a layer may have (layer-copy.c). `from` may be read anywhere.
bool copy_attributes(int from, int to, const char *path, struct stat *info, struct err *e);
bool copy_file(int from_dir, const char *name, int to_dir, const char *to_name, struct err *e);
bool copy_special(int from_dir, const char *name, const struct stat *info, int to_dir, const char *to_name,
                  struct err *e);

bool within_cpu(uint64_t microseconds, struct err *e);  // false when this process has used more
bool is_whiteout(const struct stat *info);
bool is_opaque(int dir);
bool join_path(char out[TAR_PATH_LIMIT], const char *parent, const char *name);  // false: too long
void drop_last(char *path);              // "a/b" → "a", "a" → ""
const char *last_name(const char *path);  // part of `path`
