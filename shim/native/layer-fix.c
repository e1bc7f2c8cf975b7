// berth-shim layer-fix --to DIR --layer LAYER [--records FILE] [--no-sync] --lower DIR…
//   LAYER was unpacked on its own; the lowers (topmost first) are what lies below it in this image, fix-up layers
//   included. DIR, there and empty, becomes the fix-up layer that lies above LAYER. The records are those of `unpack`,
//   on stdin or in FILE. Prints the records "entries N" and "end" (each field with a NUL); N = 0: no layer is needed.
//
// A layer that is unpacked alone cannot know the directories that it has no entry for. Where the lowers have one, its
// attributes must show; where they have a link, an unpacker that works on the merged tree would have followed it.
//
//   1. For each invented directory P, parents first, its true place W(P) in the lowers: the place of its parent, plus its
//      name; if the lowers have a link there, where that leads (missing names stay as they are; if it leads to a
//      file, P stays). A path under P has the place W(P)/rest.
//   2. If the lowers have a directory at W(P), the fix-up gets that directory with its owner, mode, times and xattrs.
//   3. If W(P) is elsewhere because of P's own link, and P itself shows (its parent has not moved), the fix-up gets the
//      link at P, which hides the layer's directory there, and what the layer has in P at its place, merged: directories
//      anew, whiteouts and opaque marks as they are, files as hard links (the inode is the same, so nothing is
//      copied; a copy by reflink where a link cannot be). An opaque P hides all of W(P): then the layer's own W(P)
//      is brought up before it.
//   4. Each directory that this takes on the way gets the attributes that show there: the layer's if an entry named it,
//      else the lowers', else the layer's.
//   5. A hard link whose target the layer lacks: the file that shows there when all this is done (links to it followed,
//      but for its last name), else that of the lowers, is put at the place of its name.
//   6. Directory times last.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "layer.h"
#include "sys.h"
#include "unpack.h"

#define STRICT (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)

struct invented {
  char *path;
  char *place;  // W(path)
  bool linked;  // the lowers have a link at the place where it would be
};

struct linked {  // a hard link without its target
  char *path, *target;
};

struct made {  // a directory of the fix-up, for its times
  struct made *next;
  struct timespec mtime;
  char path[];
};

struct fix {
  struct view lowers;
  int layer, to;
  struct invented *parents;
  struct linked *links;
  size_t parent_count, link_count;
  struct made *made;
  uint64_t entries;
  char merged[TAR_PATH_LIMIT];  // the layer's path that is brought to its place
};

// --- places ---

static int by_path(const void *a, const void *b) {
  return strcmp(((const struct invented *)a)->path, ((const struct invented *)b)->path);
}

static int compare_path(const void *key, const void *item) { return strcmp(key, ((const struct invented *)item)->path); }

static struct invented *find_invented(const struct fix *f, const char *path) {
  return f->parent_count == 0 ? NULL : bsearch(path, f->parents, f->parent_count, sizeof *f->parents, compare_path);
}

// W(path).
static bool place_of(const struct fix *f, const char *path, char out[TAR_PATH_LIMIT], struct err *e) {
  char head[TAR_PATH_LIMIT];
  (void)snprintf(head, sizeof head, "%s", path);
  for (; head[0] != 0; drop_last(head)) {
    const struct invented *p = find_invented(f, head);
    if (p == NULL || p->place == NULL) continue;
    const char *rest = path + strlen(head);
    if (*rest == 0) (void)snprintf(out, TAR_PATH_LIMIT, "%s", p->place);
    else if (!join_path(out, p->place, rest + 1)) return fail(e, ENAMETOOLONG, "fix up", path);
    return true;
  }
  (void)snprintf(out, TAR_PATH_LIMIT, "%s", path);
  return true;
}

static bool find_place(struct fix *f, struct invented *p, struct err *e) {
  char place[TAR_PATH_LIMIT], target[TAR_PATH_LIMIT];
  struct seen seen;
  if (!place_of(f, p->path, place, e) || !view_look(&f->lowers, place, &seen, e)) return false;
  if (seen.found && S_ISLNK(seen.info.st_mode)) {
    if (!view_resolve(&f->lowers, place, true, target, e) || !view_look(&f->lowers, target, &seen, e)) return false;
    p->linked = !seen.found || S_ISDIR(seen.info.st_mode);
    if (p->linked) memcpy(place, target, sizeof place);
  }
  p->place = strdup(place);
  return p->place != NULL || fail(e, ENOMEM, "fix up", p->path);
}

// --- making ---

// The same file under another name in another layer, as one inode where the file system has both.
static bool bring_file(struct fix *f, int from_dir, const char *name, int to_dir, const char *to_name, struct err *e) {
  struct stat info;
  f->entries++;
  if (linkat(from_dir, name, to_dir, to_name, 0) == 0) return true;
  if (errno == EEXIST) return fail(e, EEXIST, "make file", to_name);
  if (errno != EXDEV && errno != EMLINK && errno != EPERM) return fail_errno(e, "link", name);
  if (fstatat(from_dir, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return fail_errno(e, "stat", name);
  if (S_ISREG(info.st_mode)) return copy_file(from_dir, name, to_dir, to_name, e);
  return copy_special(from_dir, name, &info, to_dir, to_name, e);
}

// Clears the way for what hides it; nothing that is made here is a directory and then something else.
static bool clear_name(int dir, const char *name, struct err *e) {
  return unlinkat(dir, name, 0) == 0 || errno == ENOENT || fail_errno(e, "replace", name);
}

static bool remember_directory(struct fix *f, const char *path, const struct timespec *mtime, struct err *e) {
  struct made *m = malloc(sizeof *m + strlen(path) + 1);
  if (m == NULL) return fail(e, ENOMEM, "fix up", path);
  m->mtime = *mtime;
  memcpy(m->path, path, strlen(path) + 1);
  m->next = f->made;
  f->made = m;
  return true;
}

static int open_strict(int root, const char *path) {
  return sys_openat2(root, *path == 0 ? "." : path, O_RDONLY | O_DIRECTORY, 0, STRICT);
}

// The directory whose attributes show at `path`, or -1 when nobody has one.
static bool open_source(struct fix *f, const char *path, int *out, struct err *e) {
  struct seen seen;
  *out = open_strict(f->layer, path);
  if (*out >= 0 && find_invented(f, path) == NULL) return true;
  if (!view_look(&f->lowers, path, &seen, e)) return false;
  if (!seen.found || !S_ISDIR(seen.info.st_mode)) return true;
  close_fd(out);
  *out = openat(seen.dir, seen.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return *out >= 0 || fail_errno(e, "open directory", path);
}

static bool dress_directory(struct fix *f, int source, int fd, const char *path, struct err *e) {
  struct stat info;
  if (source < 0) return fchmod(fd, 0755) == 0 || fail_errno(e, "set mode", path);
  return copy_attributes(source, fd, path, &info, e) && remember_directory(f, path, &info.st_mtim, e);
}

// `name` in `dir`, made with the attributes of `source` (or of what shows at `path`) if it is not there.
static int make_one(struct fix *f, int dir, const char *name, const char *path, const int *source, struct err *e) {
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0) return fd;
  if (errno != ENOENT) return fail_errno(e, "open directory", path), -1;
  if (strlen(path) >= LAYER_PATH_LIMIT) return fail(e, ENAMETOOLONG, "make directory", path), -1;
  if (mkdirat(dir, name, 0700) < 0) return fail_errno(e, "make directory", path), -1;
  f->entries++;
  fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "open directory", path), -1;
  AUTO_CLOSE int shown = -1;
  if ((source == NULL && !open_source(f, path, &shown, e)) ||
      !dress_directory(f, source == NULL ? shown : *source, fd, path, e))
    close_fd(&fd);
  return fd;
}

// From the directory above when that is there, as it is mostly: a long path is not walked name by name for each of its names.
static int make_directories(struct fix *f, const char *path, struct err *e) {
  char head[TAR_PATH_LIMIT], name[256];
  AUTO_CLOSE int above = -1;
  (void)snprintf(head, sizeof head, "%s", path);
  drop_last(head);
  above = open_strict(f->to, head);
  if (above >= 0) return *path == 0 ? keep_fd(&above) : make_one(f, above, last_name(path), path, NULL, e);
  int fd = open_strict(f->to, ".");
  if (fd < 0) return fail_errno(e, "open directory", "fix-up"), -1;
  for (const char *at = path; fd >= 0 && *at != 0;) {
    const char *end = strchrnul(at, '/');
    if ((size_t)(end - at) >= sizeof name) {
      fail(e, ENAMETOOLONG, "make directory", path);
      close_fd(&fd);
      break;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(end - at), at);
    (void)snprintf(head, sizeof head, "%.*s", (int)(end - path), path);
    const int next = make_one(f, fd, name, head, NULL, e);
    close_fd(&fd);
    fd = next;
    at = *end == 0 ? end : end + 1;
  }
  return fd;
}

// --- moving what the layer has under a link ---

static bool merge_inside(struct fix *f, int from, int to, struct err *e);

// Where the directory `path` of the layer goes. Its own function, so that the path is not on the stack at every depth.
static __attribute__((noinline)) int merge_target(struct fix *f, int inner, int to, struct err *e) {
  char place[TAR_PATH_LIMIT];
  if (!place_of(f, f->merged, place, e)) return -1;
  if (find_invented(f, f->merged) != NULL) return make_directories(f, place, e);
  return make_one(f, to, last_name(f->merged), place, &inner, e);
}

static bool merge_directory(struct fix *f, int from, const char *name, int to, struct err *e) {
  AUTO_CLOSE int inner = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (inner < 0) return fail_errno(e, "open directory", f->merged);
  AUTO_CLOSE int target = merge_target(f, inner, to, e);
  if (target < 0) return false;
  if (is_opaque(inner) && fsetxattr(target, "trusted.overlay.opaque", "y", 1, 0) < 0)
    return fail_errno(e, "mark opaque", f->merged);
  return merge_inside(f, inner, target, e);
}

// f->merged is the path of `name`.
static bool merge_one(struct fix *f, int from, const char *name, int to, struct err *e) {
  struct stat info, there;
  if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return fail_errno(e, "stat", f->merged);
  if (S_ISDIR(info.st_mode)) return merge_directory(f, from, name, to, e);
  const bool taken = fstatat(to, name, &there, AT_SYMLINK_NOFOLLOW) == 0;
  if (is_whiteout(&info)) {
    if (taken) return true;
    f->entries++;
    return mknodat(to, name, S_IFCHR, 0) == 0 || fail_errno(e, "make whiteout", f->merged);
  }
  if (taken && S_ISDIR(there.st_mode)) return fail(e, EISDIR, "fix up", f->merged);
  if (taken && !clear_name(to, name, e)) return false;
  return bring_file(f, from, name, to, name, e);
}

static bool merge_inside(struct fix *f, int from, int to, struct err *e) {
  const size_t length = strlen(f->merged);
  DIR *list = open_entries(from);
  if (list == NULL) return fail_errno(e, "read directory", f->merged);
  bool good = true;
  for (const struct dirent *entry; good && (errno = 0, entry = readdir(list)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (length + strlen(entry->d_name) + 2 > sizeof f->merged) good = fail(e, ENAMETOOLONG, "fix up", f->merged);
    else (void)snprintf(f->merged + length, sizeof f->merged - length, "%s%s", length == 0 ? "" : "/", entry->d_name);
    good = good && merge_one(f, from, entry->d_name, to, e);
    f->merged[length] = 0;
  }
  if (good && errno != 0) good = fail_errno(e, "read directory", f->merged);
  closedir(list);
  return good;
}

static bool merge_tree(struct fix *f, int from, const char *path, int to, struct err *e) {
  (void)snprintf(f->merged, sizeof f->merged, "%s", path);
  return merge_inside(f, from, to, e);
}

static bool put_link(struct fix *f, const char *path, struct err *e) {
  char parent[TAR_PATH_LIMIT];
  struct seen seen;
  (void)snprintf(parent, sizeof parent, "%s", path);
  drop_last(parent);
  AUTO_CLOSE int to = make_directories(f, parent, e);
  if (to < 0 || !view_look(&f->lowers, path, &seen, e)) return false;
  if (!seen.found) return fail(e, ENOENT, "fix up", path);
  return bring_file(f, seen.dir, seen.name, to, last_name(path), e);
}

static bool move_tree(struct fix *f, const struct invented *p, struct err *e) {
  AUTO_CLOSE int to = make_directories(f, p->place, e);
  AUTO_CLOSE int from = open_strict(f->layer, p->path);
  if (to < 0) return false;
  if (from < 0) return fail_errno(e, "open directory", p->path);
  if (is_opaque(from)) {
    AUTO_CLOSE int own = open_strict(f->layer, p->place);
    if (own >= 0 && !merge_tree(f, own, p->place, to, e)) return false;
    if (fsetxattr(to, "trusted.overlay.opaque", "y", 1, 0) < 0) return fail_errno(e, "mark opaque", p->place);
  }
  return merge_tree(f, from, p->path, to, e);
}

static bool fix_directory(struct fix *f, const struct invented *p, struct err *e) {
  struct seen seen;
  if (p->linked) {
    char parent[TAR_PATH_LIMIT], place[TAR_PATH_LIMIT];
    (void)snprintf(parent, sizeof parent, "%s", p->path);
    drop_last(parent);
    if (!place_of(f, parent, place, e)) return false;
    // Under a parent that moved, the whole comes along with it and the lowers' link shows by itself.
    if (strcmp(place, parent) == 0) return put_link(f, p->path, e) && move_tree(f, p, e);
  }
  if (!view_look(&f->lowers, p->place, &seen, e)) return false;
  if (!seen.found || !S_ISDIR(seen.info.st_mode)) return true;
  AUTO_CLOSE int fd = make_directories(f, p->place, e);
  return fd >= 0;
}

// --- hard links ---

// In the tree as it will show, or, when the layer itself has deleted the file there, in what lies below.
static bool find_target(struct fix *f, struct view *all, const struct linked *l, char target[TAR_PATH_LIMIT],
                        struct seen *seen, struct err *e) {
  struct view *const views[] = {all, &f->lowers};
  for (size_t i = 0; i < 2; i++) {
    if (!view_resolve(views[i], l->target, false, target, e) || !view_look(views[i], target, seen, e)) return false;
    if (seen->found) return !S_ISDIR(seen->info.st_mode) || fail(e, EPERM, "hard link to a directory", l->path);
  }
  return fail(e, ENOENT, "hard link target", l->target);
}

static bool fix_link(struct fix *f, struct view *all, const struct linked *l, struct err *e) {
  char place[TAR_PATH_LIMIT], parent[TAR_PATH_LIMIT], target[TAR_PATH_LIMIT];
  struct seen seen;
  struct stat here;
  if (!place_of(f, l->path, place, e) || !find_target(f, all, l, target, &seen, e)) return false;
  AUTO_CLOSE int from = fcntl(seen.dir, F_DUPFD_CLOEXEC, 0);
  if (from < 0) return fail_errno(e, "hard link target", l->target);
  (void)snprintf(parent, sizeof parent, "%s", place);
  drop_last(parent);
  AUTO_CLOSE int to = make_directories(f, parent, e);
  if (to < 0) return false;
  if (fstatat(to, last_name(place), &here, AT_SYMLINK_NOFOLLOW) == 0 && here.st_ino == seen.info.st_ino) return true;
  return clear_name(to, last_name(place), e) && bring_file(f, from, seen.name, to, last_name(place), e);
}

static bool fix_links(struct fix *f, const struct fix_options *o, struct err *e) {
  if (f->link_count == 0) return true;
  struct view all = {.budget = f->lowers.budget};
  AUTO_FREE char **paths = calloc(o->lower_count + 2, sizeof *paths);
  if (paths == NULL) return fail(e, ENOMEM, "fix up", "hard links");
  paths[0] = (char *)(uintptr_t)o->to;
  paths[1] = (char *)(uintptr_t)o->layer;
  memcpy(paths + 2, o->lowers, o->lower_count * sizeof *paths);
  bool good = view_open(&all, paths, o->lower_count + 2, e);
  for (size_t i = 0; good && i < f->link_count; i++) good = fix_link(f, &all, &f->links[i], e);
  view_close(&all);
  return good;
}

// --- records in, report out ---

// A record must hold a cleaned path: the report may have been on disk for long.
static bool is_clean(const char *path) {
  char clean[TAR_PATH_LIMIT];
  return path != NULL && *path != 0 && clean_path(path, clean) && strcmp(path, clean) == 0;
}

static char *clean_field(struct fields *in, const char *kind, struct err *e) {
  const char *field = next_field(in);
  char *copy = is_clean(field) ? strdup(field) : NULL;
  if (copy == NULL) fail(e, is_clean(field) ? ENOMEM : EINVAL, "read records", kind);
  return copy;
}

static bool add_parent(struct fix *f, struct fields *in, struct err *e) {
  struct invented *more = realloc(f->parents, (f->parent_count + 1) * sizeof *more);
  if (more == NULL) return fail(e, ENOMEM, "read records", "parent");
  f->parents = more;
  more[f->parent_count] = (struct invented){.path = clean_field(in, "parent", e)};
  return more[f->parent_count++].path != NULL;
}

static bool add_link(struct fix *f, struct fields *in, struct err *e) {
  struct linked *more = realloc(f->links, (f->link_count + 1) * sizeof *more);
  if (more == NULL) return fail(e, ENOMEM, "read records", "hardlink");
  f->links = more;
  struct linked *link = &more[f->link_count];
  *link = (struct linked){0};
  f->link_count++;
  link->path = clean_field(in, "hardlink", e);
  link->target = link->path == NULL ? NULL : clean_field(in, "hardlink", e);
  return link->target != NULL;
}

static bool take_records(struct fix *f, struct fields *in, struct err *e) {
  for (const char *kind; (kind = next_field(in)) != NULL;) {
    if (strcmp(kind, "end") == 0)
      return (next_field(in) == NULL && feof(in->in)) || fail(e, EINVAL, "read records", "more after the end");
    const int count = fields_of(kind);
    bool good = count >= 0 || fail(e, EINVAL, "read records", kind);
    if (good && strcmp(kind, "parent") == 0) good = add_parent(f, in, e);
    else if (good && strcmp(kind, "hardlink") == 0) good = add_link(f, in, e);
    else
      for (int i = 0; good && i < count; i++) good = next_field(in) != NULL || fail(e, EINVAL, "read records", "cut record");
    if (!good) return false;
  }
  return fail(e, EINVAL, "read records", "no end");
}

static bool read_records(struct fix *f, const char *path, struct err *e) {
  int fd = path == NULL ? STDIN_FILENO : open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  struct fields in = {.in = fd < 0 ? NULL : fdopen(fd, "r")};
  if (in.in == NULL) {
    close_fd(&fd);
    return fail_errno(e, "open records", path == NULL ? "stdin" : path);
  }
  const bool good = take_records(f, &in, e);
  fclose(in.in);
  free(in.text);
  return good;
}

static bool set_times(const struct fix *f, struct err *e) {
  for (const struct made *m = f->made; m != NULL; m = m->next) {
    AUTO_CLOSE int fd = open_strict(f->to, m->path);
    const struct timespec times[2] = {m->mtime, m->mtime};
    if (fd < 0 || futimens(fd, times) < 0) return fail_errno(e, "set time", m->path);
  }
  return true;
}

static bool fix_all(struct fix *f, const struct fix_options *o, struct err *e) {
  if (!dress_directory(f, f->layer, f->to, "", e)) return false;
  if (f->parent_count > 0) qsort(f->parents, f->parent_count, sizeof *f->parents, by_path);
  for (size_t i = 0; i < f->parent_count; i++)
    if (!find_place(f, &f->parents[i], e)) return false;
  for (size_t i = 0; i < f->parent_count; i++)
    if (!fix_directory(f, &f->parents[i], e)) return false;
  return fix_links(f, o, e) && set_times(f, e);
}

static bool read_fix_options(int argc, char **argv, struct fix_options *o) {
  *o = (struct fix_options){.sync = true};
  int i = 0;
  for (; i < argc && strcmp(argv[i], "--lower") != 0; i++) {
    const char **slot = strcmp(argv[i], "--to") == 0        ? &o->to
                        : strcmp(argv[i], "--layer") == 0   ? &o->layer
                        : strcmp(argv[i], "--records") == 0 ? &o->records
                                                            : NULL;
    if (slot != NULL && i + 1 < argc) *slot = argv[++i];
    else if (slot == NULL && strcmp(argv[i], "--no-sync") == 0) o->sync = false;
    else return false;
  }
  o->lowers = argv + i + 1;
  o->lower_count = i + 1 < argc ? (size_t)(argc - i - 1) : 0;
  return o->to != NULL && o->layer != NULL && o->lower_count > 0;
}

bool fix_layer(const struct fix_options *o, uint64_t *entries, struct err *e) {
  struct fix f = {.layer = -1, .to = -1};
  raise_descriptors();
  bool good = read_records(&f, o->records, e);
  f.lowers.budget = 10000000 + 1000 * (f.parent_count + f.link_count);
  good = good && view_open(&f.lowers, o->lowers, o->lower_count, e);
  if (good) {
    f.layer = open(o->layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f.layer < 0) good = fail_errno(e, "open layer", o->layer);
    f.to = open_empty(o->to, e);
    good = good && f.to >= 0 && fix_all(&f, o, e);
  }
  if (good && o->sync && syncfs(f.to) < 0) good = fail_errno(e, "sync", o->to);
  *entries = f.entries;
  for (size_t i = 0; i < f.parent_count; i++) {
    free(f.parents[i].path);
    free(f.parents[i].place);
  }
  for (size_t i = 0; i < f.link_count; i++) {
    free(f.links[i].path);
    free(f.links[i].target);
  }
  for (struct made *m = f.made, *next; m != NULL; m = next) {
    next = m->next;
    free(m);
  }
  free(f.parents);
  free(f.links);
  close_fd(&f.layer);
  close_fd(&f.to);
  view_close(&f.lowers);
  return good;
}

int role_layer_fix(int argc, char **argv) {
  struct fix_options o;
  struct err e = {0};
  if (!read_fix_options(argc, argv, &o)) {
    (void)dprintf(STDERR_FILENO,
                  "layer-fix: usage: --to DIR --layer LAYER [--records FILE] [--no-sync] --lower DIR...\n");
    return 64;
  }
  uint64_t entries;
  if (fix_layer(&o, &entries, &e)) {
    if (dprintf(STDOUT_FILENO, "entries%c%" PRIu64 "%cend%c", 0, entries, 0, 0) > 0) return 0;
    fail_errno(&e, "write", "report");
  }
  print_error(&e);
  return 1;
}
