// Applies a tar stream to a directory as one overlay layer.
//
// Every directory of the layer was made here, so each is known by its inode: its true path, whether the stream named it
// or it had to be invented, and the time it gets at the end. Parents are opened with openat2 under the root, and links
// in the layer are followed inside the root, as the field's other unpackers do; the last name is never followed.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "layer.h"
#include "sys.h"
#include "unpack.h"

#define RESOLVE (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)
#define LINKS_LIMIT 40
#define CACHE_SIZE 64u
#define EARLY_SIZE (64u << 10)  // most bytes of a layer are in larger files, and few of its files are
#define OPAQUE_NAME ".wh..wh..opq"

struct node {
  struct node *parent;  // NULL for the root
  struct node *next;    // all, newest first
  ino_t ino;
  struct timespec mtime;
  size_t path_length;   // of the path from the root, with the slash in front of each name
  bool dead;            // replaced by something else
  bool named;           // the stream has an entry for it
  bool opaque;          // hides what lower layers have in it
  bool replaced;        // the directory itself is not the lower layers' one
  char name[];
};

struct cached {
  char *path;  // as the stream writes it, cleaned
  int fd;
  struct node *node;
};

struct missing {  // a hard link to a file of another layer
  struct missing *next;
  struct node *parent;
  char *name, *target;
};

struct layer {
  int root, out;
  struct tar tar;
  struct node *root_node, *nodes;
  struct node **table;  // open addressing by inode
  size_t table_size, table_used;
  struct cached cache[CACHE_SIZE];
  struct missing *missing, **missing_end;
  bool root_opaque;
  bool replaced_file;  // what was written is not all that is there
  uint64_t entries, steps, checked;  // `checked`: steps and pieces of data when the budget was looked at last
};

// Hostile layers must not hold a processor: what is used stays in proportion to what is given. Ordinary layers need
// about a fortieth of it. Asked at each step, since a single name can lead through a hundred thousand directories.
static bool within_budget(struct layer *l, struct err *e) {
  const uint64_t work = ++l->steps + l->tar.pieces;
  if (work - l->checked < 64) return true;
  l->checked = work;
  return within_cpu(5000000 + 300 * l->entries + l->tar.offset / 50, e);
}

// --- directories by inode ---

static size_t slot_of(const struct layer *l, ino_t ino) {
  return (size_t)(((uint64_t)ino * 0x9e3779b97f4a7c15ull) >> 20) & (l->table_size - 1);
}

static struct node *find_node(const struct layer *l, ino_t ino) {
  for (size_t i = slot_of(l, ino); l->table[i] != NULL; i = (i + 1) & (l->table_size - 1))
    if (l->table[i]->ino == ino && !l->table[i]->dead) return l->table[i];
  return NULL;
}

static void put_node(struct layer *l, struct node *node) {
  size_t i = slot_of(l, node->ino);
  while (l->table[i] != NULL && !(l->table[i]->dead && l->table[i]->ino == node->ino)) i = (i + 1) & (l->table_size - 1);
  if (l->table[i] == NULL) l->table_used++;
  l->table[i] = node;
}

static bool grow_table(struct layer *l, struct err *e) {
  struct node **old = l->table;
  size_t old_size = l->table_size;
  struct node **table = calloc(old_size * 2, sizeof *table);
  if (table == NULL) return fail(e, ENOMEM, "unpack", "directories");
  l->table = table;
  l->table_size = old_size * 2;
  l->table_used = 0;
  for (size_t i = 0; i < old_size; i++)
    if (old[i] != NULL && !old[i]->dead) put_node(l, old[i]);
  free(old);
  return true;
}

static struct node *add_node(struct layer *l, struct node *parent, const char *name, ino_t ino, struct err *e) {
  size_t length = strlen(name), path_length = parent == NULL ? 0 : parent->path_length + 1 + length;
  if (path_length >= LAYER_PATH_LIMIT) {
    fail(e, ENAMETOOLONG, "unpack", name);
    return NULL;
  }
  if (l->table_used * 2 >= l->table_size && !grow_table(l, e)) return NULL;
  struct node *node = calloc(1, sizeof *node + length + 1);
  if (node == NULL) {
    fail(e, ENOMEM, "unpack", name);
    return NULL;
  }
  node->parent = parent;
  node->next = l->nodes;
  node->ino = ino;
  node->path_length = path_length;
  memcpy(node->name, name, length + 1);
  l->nodes = node;
  put_node(l, node);
  return node;
}

// The true path, without a slash in front; "." for the root.
static const char *path_of(const struct node *node, char out[TAR_PATH_LIMIT]) {
  char *at = out + node->path_length;
  *at = 0;
  for (; node->parent != NULL; node = node->parent) {
    size_t length = strlen(node->name);
    at -= length;
    memcpy(at, node->name, length);
    *--at = '/';
  }
  return out[0] == 0 ? "." : out + 1;
}

// --- parents ---

static struct cached *cache_slot(struct layer *l, const char *path) {
  uint64_t hash = 14695981039346656037ull;
  for (; *path != 0; path++) hash = (hash ^ (uint8_t)*path) * 1099511628211ull;
  return &l->cache[(hash >> 32) % CACHE_SIZE];
}

static void empty_slot(struct cached *slot) {
  free(slot->path);
  close_fd(&slot->fd);
  slot->path = NULL;
}

// Names may lead elsewhere now. The descriptors stay until their slot is used again: the caller still has one.
static void forget_cache(struct layer *l) {
  for (size_t i = 0; i < CACHE_SIZE; i++) {
    free(l->cache[i].path);
    l->cache[i].path = NULL;
  }
}

// The kernel counts links twice when it has to begin again in the middle, and then takes a long chain for a loop. On a
// busy machine it may do so each time: then the walk below counts them itself.
static int open_scoped(int root, const char *path) {
  int fd = -1;
  for (int tries = 0; tries < 8; tries++) {
    fd = sys_openat2(root, path, O_PATH | O_DIRECTORY, 0, RESOLVE);
    if (fd >= 0 || (errno != ELOOP && errno != EAGAIN)) break;
  }
  return fd;
}

static int open_directory(int parent, const char *name) {
  return openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static struct node *node_at(const struct layer *l, int fd, const char *path, struct err *e) {
  struct stat info;
  if (fstat(fd, &info) < 0) {
    fail_errno(e, "stat", path);
    return NULL;
  }
  struct node *node = find_node(l, info.st_ino);
  if (node == NULL) fail(e, ESTALE, "find directory", path);
  return node;
}

struct walk {
  struct node *node;
  int fd;
  char pending[2 * TAR_PATH_LIMIT];  // what is still to be walked
  char *at;
  int links;
};

static bool walk_from(const struct layer *l, struct walk *w, struct node *node, struct err *e) {
  char path[TAR_PATH_LIMIT];
  close_fd(&w->fd);
  w->node = node;
  w->fd = sys_openat2(l->root, path_of(node, path), O_PATH | O_DIRECTORY, 0,
                      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  return w->fd >= 0 || fail_errno(e, "open directory", path_of(node, path));
}

static bool invent(struct layer *l, struct walk *w, const char *name, bool replaced, struct err *e) {
  if (mkdirat(w->fd, name, 0755) < 0) return fail_errno(e, "make directory", name);
  int fd = openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) < 0) {
    close_fd(&fd);
    return fail_errno(e, "open directory", name);
  }
  // In a directory with the setgid bit the kernel passes group and bit on; a layer's directories inherit nothing.
  struct node *node = NULL;
  if ((info.st_gid != 0 && fchown(fd, 0, 0) < 0) || ((info.st_mode & 07777) != 0755 && fchmod(fd, 0755) < 0))
    fail_errno(e, "make directory", name);
  else
    node = add_node(l, w->node, name, info.st_ino, e);
  close_fd(&w->fd);
  w->fd = fd;
  w->node = node;
  if (node != NULL) node->opaque = node->replaced = replaced;
  return node != NULL;
}

static bool follow(const struct layer *l, struct walk *w, const char *name, struct err *e) {
  char target[2 * TAR_PATH_LIMIT];
  ssize_t length = readlinkat(w->fd, name, target, TAR_PATH_LIMIT);
  if (length < 0) return fail_errno(e, "read link", name);
  size_t rest = strlen(w->at);
  if (++w->links > LINKS_LIMIT) return fail(e, ELOOP, "follow link", name);
  if ((size_t)length + rest + 2 > sizeof target) return fail(e, ENAMETOOLONG, "follow link", name);
  target[length] = '/';
  memcpy(target + length + 1, w->at, rest + 1);
  memcpy(w->pending, target, (size_t)length + rest + 2);
  w->at = w->pending;
  return target[0] != '/' || walk_from(l, w, l->root_node, e);
}

// One name further; what is missing on the way is made.
static bool walk_step(struct layer *l, struct walk *w, const char *name, struct err *e) {
  if (!within_budget(l, e)) return false;
  if (strcmp(name, ".") == 0) return true;
  if (strcmp(name, "..") == 0) return walk_from(l, w, w->node->parent == NULL ? w->node : w->node->parent, e);
  int fd = open_directory(w->fd, name);
  if (fd >= 0) {
    close_fd(&w->fd);
    w->fd = fd;
    w->node = node_at(l, fd, name, e);
    return w->node != NULL;
  }
  if (errno == ENOENT) return invent(l, w, name, false, e);
  if (errno != ENOTDIR && errno != ELOOP) return fail_errno(e, "open directory", name);
  struct stat info;
  if (fstatat(w->fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return fail_errno(e, "stat", name);
  if (S_ISLNK(info.st_mode)) return follow(l, w, name, e);
  if (!is_whiteout(&info)) return fail(e, ENOTDIR, "make directory", name);
  // The layer deletes the lower directory and makes it anew.
  if (unlinkat(w->fd, name, 0) < 0) return fail_errno(e, "remove whiteout", name);
  return invent(l, w, name, true, e);
}

static bool walk_path(struct layer *l, struct walk *w, const char *path, struct err *e) {
  // Deep trees: begin at the last directory but one when it is there, so that a walk costs a step and not a path.
  const char *last = strrchr(path, '/');
  char head[TAR_PATH_LIMIT];
  w->fd = -1;
  w->links = 0;
  if (last != NULL) {
    memcpy(head, path, (size_t)(last - path));
    head[last - path] = 0;
    w->fd = open_scoped(l->root, head);
  }
  if (w->fd >= 0) {
    w->node = node_at(l, w->fd, head, e);
    if (w->node == NULL) return false;
  } else if (!walk_from(l, w, l->root_node, e)) {
    return false;
  }
  const char *start = w->node != l->root_node && last != NULL ? last + 1 : path;
  memcpy(w->pending, start, strlen(start) + 1);
  w->at = w->pending;
  while (*w->at != 0) {
    char *name = w->at, *end = strchrnul(name, '/');
    char component[256];
    w->at = *end == 0 ? end : end + 1;
    if (end == name) continue;
    if ((size_t)(end - name) >= sizeof component) return fail(e, ENAMETOOLONG, "make directory", path);
    memcpy(component, name, (size_t)(end - name));
    component[end - name] = 0;
    if (!walk_step(l, w, component, e)) return false;
  }
  return true;
}

// The directory `path` (cleaned, "" for the root), made where it is missing when `make`. The descriptor stays the
// cache's. *found is false when it is missing and shall not be made.
static bool get_directory(struct layer *l, const char *path, bool make, struct cached **out, bool *found,
                          struct err *e) {
  struct cached *slot = cache_slot(l, path);
  *out = slot;
  *found = true;
  if (slot->path != NULL && strcmp(slot->path, path) == 0) return true;
  int fd = open_scoped(l->root, *path == 0 ? "." : path);
  struct node *node = NULL;
  if (fd >= 0) {
    node = node_at(l, fd, path, e);
    if (node == NULL) {
      close_fd(&fd);
      return false;
    }
  } else if (errno != ENOENT && errno != ENOTDIR && !(errno == ELOOP && make)) {
    return fail_errno(e, "open directory", path);
  } else if (!make) {
    *found = false;
    return true;
  } else {
    struct walk walk;
    if (!walk_path(l, &walk, path, e)) {
      close_fd(&walk.fd);
      (void)snprintf(e->object, sizeof e->object, "%s", path);  // says more than one of its names
      return false;
    }
    fd = walk.fd;
    node = walk.node;
  }
  empty_slot(slot);
  slot->path = strdup(path);
  slot->fd = fd;
  slot->node = node;
  return slot->path != NULL || fail(e, ENOMEM, "unpack", path);
}

// --- replacing ---

static bool remove_tree(struct layer *l, int parent, const char *name, struct err *e);

static bool remove_inside(struct layer *l, int fd, bool *again, struct err *e) {
  char *buffer = malloc(8192);
  if (buffer == NULL) return fail(e, ENOMEM, "remove", "directory");
  bool good = true;
  *again = false;
  for (long length; good && (length = syscall(SYS_getdents64, fd, buffer, 8192)) != 0;) {
    if (length < 0) good = fail_errno(e, "read directory", "replaced");
    for (long at = 0; good && at < length;) {
      // struct linux_dirent64: u64 ino, s64 offset, u16 length, u8 type, name
      uint16_t record;
      memcpy(&record, buffer + at + 16, sizeof record);
      const char *name = buffer + at + 19;
      at += record;
      if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
      *again = true;
      good = remove_tree(l, fd, name, e);
    }
  }
  free(buffer);
  return good;
}

static bool remove_tree(struct layer *l, int parent, const char *name, struct err *e) {
  if (unlinkat(parent, name, 0) == 0) return true;
  if (errno != EISDIR && errno != EPERM) return fail_errno(e, "remove", name);
  AUTO_CLOSE int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "remove", name);
  struct node *node = node_at(l, fd, name, e);
  if (node == NULL) return false;
  // Reading on while names go is not promised to see all of them: until one whole pass finds none.
  for (bool again = true; again;) {
    if (lseek(fd, 0, SEEK_SET) < 0) return fail_errno(e, "read directory", name);
    if (!remove_inside(l, fd, &again, e)) return false;
  }
  node->dead = true;
  return unlinkat(parent, name, AT_REMOVEDIR) == 0 || fail_errno(e, "remove", name);
}

// What stands at the place of the next entry: nothing, or (when `keep`) a directory. A whiteout there is remembered.
static bool clear_place(struct layer *l, const struct cached *dir, const char *name, bool keep, bool *kept,
                        bool *was_whiteout, struct err *e) {
  struct stat info;
  *kept = *was_whiteout = false;
  if (fstatat(dir->fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
    return errno == ENOENT || fail_errno(e, "stat", name);
  *was_whiteout = is_whiteout(&info);
  *kept = keep && S_ISDIR(info.st_mode);
  if (*kept) return true;
  l->replaced_file |= !*was_whiteout && !S_ISLNK(info.st_mode);
  if (!S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode))
    return unlinkat(dir->fd, name, 0) == 0 || fail_errno(e, "remove", name);
  forget_cache(l);
  return remove_tree(l, dir->fd, name, e);
}

// --- entries ---

static bool set_xattrs(int fd, const struct tar_entry *entry, struct err *e) {
  for (size_t i = 0; i < entry->xattr_count; i++) {
    const struct tar_xattr *x = &entry->xattrs[i];
    if (strncmp(x->name, "user.", 5) != 0 && strcmp(x->name, "security.capability") != 0) continue;
    if (fd < 0) return fail(e, EPERM, "set xattr of a special file", entry->name);
    if (fsetxattr(fd, x->name, x->value, x->length, 0) < 0) return fail_errno(e, "set xattr", entry->name);
  }
  return true;
}

// trusted.* speaks to overlayfs and to Berth: a layer's redirect would show another directory's content.
static bool check_xattrs(const struct tar_entry *entry, struct err *e) {
  for (size_t i = 0; i < entry->xattr_count; i++)
    if (strncmp(entry->xattrs[i].name, "trusted.", 8) == 0) {
      char what[64];
      (void)snprintf(what, sizeof what, "refuse xattr %.48s", entry->xattrs[i].name);
      return fail(e, EPERM, what, entry->name);
    }
  return true;
}

static bool set_attributes(int fd, const struct tar_entry *entry, struct err *e) {
  // Each change is a transaction of the file system, so what is right already is left. Owner first: a change of it
  // takes setuid, setgid and file capabilities away.
  struct stat info;
  if (fstat(fd, &info) < 0) return fail_errno(e, "stat", entry->name);
  const bool owned = info.st_uid == entry->uid && info.st_gid == entry->gid;
  if (!owned && fchown(fd, entry->uid, entry->gid) < 0) return fail_errno(e, "set owner", entry->name);
  if ((!owned || (info.st_mode & 07777) != entry->mode) && fchmod(fd, entry->mode) < 0)
    return fail_errno(e, "set mode", entry->name);
  return set_xattrs(fd, entry, e);
}

static int create_file(int dir, const char *name, const struct tar_entry *entry) {
  return openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry->mode & 0777);
}

// Most names are new: whether one is, the attempt tells, without a look before.
static bool make_file(struct layer *l, const struct cached *dir, const char *name, const struct tar_entry *entry,
                      struct err *e) {
  bool kept, whiteout;
  AUTO_CLOSE int fd = create_file(dir->fd, name, entry);
  if (fd < 0 && errno == EEXIST) {
    if (!clear_place(l, dir, name, false, &kept, &whiteout, e)) return false;
    fd = create_file(dir->fd, name, entry);
  }
  if (fd < 0) return fail_errno(e, "make file", entry->name);
  if (!tar_write(&l->tar, entry, fd, e) || !set_attributes(fd, entry, e)) return false;
  const struct timespec times[2] = {entry->mtime, entry->mtime};
  if (futimens(fd, times) < 0) return fail_errno(e, "set time", entry->name);
  // Not a sparse file, which is cheaper to place when all of it is known.
  if (entry->size >= EARLY_SIZE && l->tar.map_count == 1 && early_take(fd)) (void)keep_fd(&fd);
  return true;
}

static bool make_directory(struct layer *l, const struct cached *parent, const char *name, bool there, bool replaced,
                           const struct tar_entry *entry, struct err *e) {
  if (!there && mkdirat(parent->fd, name, entry->mode & 0777) < 0)
    return fail_errno(e, "make directory", entry->name);
  AUTO_CLOSE int fd = openat(parent->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) < 0) return fail_errno(e, "open directory", entry->name);
  struct node *node = there ? node_at(l, fd, name, e) : add_node(l, parent->node, name, info.st_ino, e);
  if (node == NULL) return false;
  node->named = true;
  node->mtime = entry->mtime;
  node->opaque |= replaced;
  node->replaced |= replaced;
  return set_attributes(fd, entry, e);
}

// Of what cannot be opened: a link's mode means nothing, and a device's is given when it is made.
static bool set_special(int dir, const char *name, const struct tar_entry *entry, struct err *e) {
  if (fchownat(dir, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
    return fail_errno(e, "set owner", entry->name);
  if (!set_xattrs(-1, entry, e)) return false;
  const struct timespec times[2] = {entry->mtime, entry->mtime};
  return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) == 0 || fail_errno(e, "set time", entry->name);
}

// The file that a hard link is another name of gets what the link's own entry says, as the field's other unpackers do.
// One of a lower layer keeps its own: it is not this layer's to change, and what writes such layers repeats them.
static bool set_linked(int dir, const char *name, const struct stat *info, const struct tar_entry *entry, struct err *e) {
  if (!S_ISREG(info->st_mode)) return set_special(dir, name, entry, e);
  AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "open", entry->name);
  if (!set_attributes(fd, entry, e)) return false;
  const struct timespec times[2] = {entry->mtime, entry->mtime}, old = info->st_mtim;
  return (old.tv_sec == entry->mtime.tv_sec && old.tv_nsec == entry->mtime.tv_nsec) || futimens(fd, times) == 0 ||
         fail_errno(e, "set time", entry->name);
}

static bool make_special(int dir, const char *name, const struct tar_entry *entry, struct err *e) {
  static const mode_t types[] = {['3'] = S_IFCHR, ['4'] = S_IFBLK, ['6'] = S_IFIFO};
  const dev_t device = entry->type == '6' ? 0 : makedev(entry->major, entry->minor);
  // Overlayfs takes 0:0 for a whiteout; those have their own names in a layer.
  if (entry->type == '3' && device == 0) return fail(e, EINVAL, "make device 0:0", entry->name);
  if (entry->type == '2') {
    if (*entry->link == 0) return fail(e, EINVAL, "make link to an empty name", entry->name);
    if (symlinkat(entry->link, dir, name) < 0) return fail_errno(e, "make link", entry->name);
  } else if (mknodat(dir, name, types[(int)entry->type] | (entry->mode & 0777), device) < 0) {
    return fail_errno(e, "make device", entry->name);
  }
  return set_special(dir, name, entry, e);
}

static bool split(const char *path, char parent[TAR_PATH_LIMIT], const char **name) {
  const char *slash = strrchr(path, '/');
  const size_t length = slash == NULL ? 0 : (size_t)(slash - path);
  memcpy(parent, path, length);
  parent[length] = 0;
  *name = slash == NULL ? path : slash + 1;
  return strlen(*name) < 256;
}

static bool remember_missing(struct layer *l, struct node *parent, const char *name, const char *target,
                             struct err *e) {
  struct missing *m = calloc(1, sizeof *m);
  if (m == NULL) return fail(e, ENOMEM, "make hard link", name);
  m->parent = parent;
  m->name = strdup(name);
  m->target = strdup(target);
  *l->missing_end = m;
  l->missing_end = &m->next;
  return (m->name != NULL && m->target != NULL) || fail(e, ENOMEM, "make hard link", name);
}

// Finds the target before anything is cleared, since both may be in one directory, or be the same file.
static bool make_hard_link(struct layer *l, const char *path, const struct tar_entry *entry, struct err *e) {
  char target[TAR_PATH_LIMIT], parent[TAR_PATH_LIMIT];
  const char *name, *target_name;
  struct cached *dir;
  bool found, kept, whiteout;
  struct stat info = {0}, here;
  if (!clean_path(entry->link, target)) return fail(e, EPERM, "hard link leaves the layer", entry->name);
  if (*target == 0 || !split(target, parent, &target_name)) return fail(e, EINVAL, "hard link target", entry->name);
  if (!get_directory(l, parent, false, &dir, &found, e)) return false;
  AUTO_CLOSE int from = found ? fcntl(dir->fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (found && from < 0) return fail_errno(e, "make hard link", entry->name);
  if (found && fstatat(from, target_name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno != ENOENT) return fail_errno(e, "hard link target", entry->name);
    found = false;
  }
  if (found && is_whiteout(&info)) found = false;
  if (found && S_ISDIR(info.st_mode)) return fail(e, EPERM, "hard link to a directory", entry->name);
  if (!split(path, parent, &name)) return fail(e, ENAMETOOLONG, "make hard link", entry->name);
  bool made;
  if (!get_directory(l, parent, true, &dir, &made, e)) return false;
  if (found && fstatat(dir->fd, name, &here, AT_SYMLINK_NOFOLLOW) == 0 && here.st_ino == info.st_ino)
    return set_linked(dir->fd, name, &info, entry, e);
  struct node *node = dir->node;
  if (node->path_length + strlen(name) + 1 >= LAYER_PATH_LIMIT)
    return fail(e, ENAMETOOLONG, "make hard link", entry->name);
  if (!clear_place(l, dir, name, false, &kept, &whiteout, e)) return false;
  if (!found) return remember_missing(l, node, name, target, e);
  if (linkat(from, target_name, dir->fd, name, 0) < 0) return fail_errno(e, "make hard link", entry->name);
  return set_linked(dir->fd, name, &info, entry, e);
}

// --- whiteouts (OCI image-spec, layer.md): they speak of lower layers, entries of the same layer win ---

static bool apply_whiteout(struct layer *l, struct cached *dir, const char *name, const struct tar_entry *entry,
                           struct err *e) {
  struct stat info;
  if (strcmp(name, OPAQUE_NAME) == 0) {
    dir->node->opaque = true;
    return true;
  }
  name += 4;
  if (*name == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return fail(e, EINVAL, "whiteout of no file", entry->name);
  if (mknodat(dir->fd, name, S_IFCHR, makedev(0, 0)) == 0) return true;
  if (errno != EEXIST) return fail_errno(e, "make whiteout", entry->name);
  if (fstatat(dir->fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return fail_errno(e, "stat", entry->name);
  if (!S_ISDIR(info.st_mode)) return true;
  AUTO_CLOSE int fd = open_directory(dir->fd, name);
  if (fd < 0) return fail_errno(e, "open directory", entry->name);
  struct node *node = node_at(l, fd, entry->name, e);
  if (node != NULL) node->opaque = node->replaced = true;
  return node != NULL;
}

// ".wh." in front of a name in the middle of a path would make a directory that a later reader takes for a whiteout.
static bool check_names(const char *path, const struct tar_entry *entry, bool *ignore, struct err *e) {
  *ignore = false;
  for (const char *at = path; at != NULL; at = strchr(at, '/')) {
    if (*at == '/') at++;
    if (strncmp(at, ".wh.", 4) != 0) continue;
    bool last = strchr(at, '/') == NULL;
    if (strncmp(at + 4, ".wh.", 4) == 0) {  // aufs' own, but for the opaque mark
      *ignore = !(last && strcmp(at, OPAQUE_NAME) == 0);
      if (*ignore) return true;
    } else if (!last) {
      return fail(e, EINVAL, "whiteout with files in it", entry->name);
    }
  }
  return true;
}

bool clean_path(const char *name, char out[TAR_PATH_LIMIT]) {
  size_t length = 0;
  if (strlen(name) >= TAR_PATH_LIMIT) return false;
  for (const char *at = name; *at != 0;) {
    const char *end = strchrnul(at, '/');
    const size_t part = (size_t)(end - at);
    if (part == 2 && at[0] == '.' && at[1] == '.') {
      if (length == 0) return false;
      while (length > 0 && out[length - 1] != '/') length--;
      if (length > 0) length--;
    } else if (part > 0 && !(part == 1 && at[0] == '.')) {
      if (length > 0) out[length++] = '/';
      memcpy(out + length, at, part);
      length += part;
    }
    at = *end == 0 ? end : end + 1;
  }
  out[length] = 0;
  return true;
}

static bool apply_root(struct layer *l, const struct tar_entry *entry, struct err *e) {
  if (entry->type != '5') return fail(e, EINVAL, "replace the root", entry->name);
  l->root_node->named = true;
  l->root_node->mtime = entry->mtime;
  AUTO_CLOSE int fd = openat(l->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "open directory", "/");
  return set_attributes(fd, entry, e);
}

static bool apply(struct layer *l, const struct tar_entry *entry, struct err *e) {
  char path[TAR_PATH_LIMIT], parent[TAR_PATH_LIMIT];
  const char *name;
  struct cached *dir;
  bool found, ignore, kept, whiteout;
  if (!clean_path(entry->name, path)) return fail(e, EPERM, "name leaves the layer", entry->name);
  if (!check_xattrs(entry, e)) return false;
  if (*path == 0) return apply_root(l, entry, e);
  if (!check_names(path, entry, &ignore, e)) return false;
  if (ignore) return true;
  if (!split(path, parent, &name)) return fail(e, ENAMETOOLONG, "unpack", entry->name);
  if (entry->type == '1' && strncmp(name, ".wh.", 4) != 0) return make_hard_link(l, path, entry, e);
  if (!get_directory(l, parent, true, &dir, &found, e)) return false;
  if (dir->node->path_length + strlen(name) + 1 >= LAYER_PATH_LIMIT)
    return fail(e, ENAMETOOLONG, "unpack", entry->name);
  if (strncmp(name, ".wh.", 4) == 0) return apply_whiteout(l, dir, name, entry, e);
  if (entry->type == '0') return make_file(l, dir, name, entry, e);
  if (!clear_place(l, dir, name, entry->type == '5', &kept, &whiteout, e)) return false;
  if (entry->type == '5') return make_directory(l, dir, name, kept, whiteout, entry, e);
  return make_special(dir->fd, name, entry, e);
}

// --- the end ---

static bool set_directory_times(const struct layer *l, struct err *e) {
  char path[TAR_PATH_LIMIT];
  for (const struct node *node = l->nodes; node != NULL; node = node->next) {
    if (node->dead || !node->named) continue;
    const char *name = path_of(node, path);
    AUTO_CLOSE int fd = sys_openat2(l->root, name, O_RDONLY | O_DIRECTORY, 0,
                                    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (fd < 0) return fail_errno(e, "open directory", name);
    const struct timespec times[2] = {node->mtime, node->mtime};
    if (futimens(fd, times) < 0) return fail_errno(e, "set time", name);
  }
  return true;
}

// A path of 4 KiB can invent two thousand directories, whose paths are megabytes.
#define REPORT_LIMIT (8u << 20)

struct sink {
  int fd;
  size_t used, total;
  char data[16384];
};

static bool flush(struct sink *s) {
  const size_t used = s->used;
  s->used = 0;
  return write_all(s->fd, s->data, used);
}

static bool put(struct sink *s, const char *field) {
  const size_t length = strlen(field) + 1;
  s->total += length;
  if (s->used + length > sizeof s->data && !flush(s)) return false;
  memcpy(s->data + s->used, field, length);  // no field is longer than a path
  s->used += length;
  return true;
}

// Asked between records, so that an error does not begin in the middle of one.
static bool has_room(struct sink *s) {
  if (s->total <= REPORT_LIMIT) return true;
  if (flush(s)) errno = E2BIG;
  return false;
}

static bool put_count(struct sink *s, const char *kind, uint64_t value) {
  char text[24];
  (void)snprintf(text, sizeof text, "%" PRIu64, value);
  return put(s, kind) && put(s, text);
}

static bool put_sum(const struct layer *l, struct sink *s) {
  char text[17];
  (void)snprintf(text, sizeof text, "%016" PRIx64, l->tar.content);
  return put(s, "content") && put(s, text);
}

static bool put_root(struct layer *l, struct sink *s) {
  struct stat info;
  char mode[16], uid[16], gid[16];
  if (fstat(l->root, &info) < 0) return false;
  (void)snprintf(mode, sizeof mode, "%o", info.st_mode & 07777);
  (void)snprintf(uid, sizeof uid, "%u", info.st_uid);
  (void)snprintf(gid, sizeof gid, "%u", info.st_gid);
  return put(s, "root") && put(s, mode) && put(s, uid) && put(s, gid);
}

// Whether lower layers have anything to say about an invented directory: not when it or a parent of it was made anew.
static bool is_invented(const struct node *node) {
  if (node->named || node->replaced || node->dead || node->parent == NULL) return false;
  for (const struct node *up = node->parent; up != NULL; up = up->parent)
    if (up->opaque || up->replaced) return false;
  return true;
}

static bool put_missing(const struct layer *l, struct sink *s, const struct missing *m) {
  char directory[TAR_PATH_LIMIT], path[TAR_PATH_LIMIT + 256];
  struct stat info;
  for (const struct node *up = m->parent; up != NULL; up = up->parent)
    if (up->dead) return true;
  (void)snprintf(path, sizeof path, "%s/%s", path_of(m->parent, directory), m->name);
  const char *clean = path[0] == '.' && path[1] == '/' ? path + 2 : path;
  AUTO_CLOSE int fd = sys_openat2(l->root, path_of(m->parent, directory), O_PATH | O_DIRECTORY, 0,
                                  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  if (fd < 0) return false;
  if (fstatat(fd, m->name, &info, AT_SYMLINK_NOFOLLOW) == 0 && !is_whiteout(&info))
    return true;  // a later entry took the place
  return strlen(clean) < TAR_PATH_LIMIT && put(s, "hardlink") && put(s, clean) && put(s, m->target);
}

static bool put_records(struct layer *l, struct sink *s) {
  char path[TAR_PATH_LIMIT];
  bool good = put_count(s, "entries", l->entries) && put_count(s, "bytes", l->tar.bytes);
  if (l->root_node->named) good = good && put_root(l, s);
  if (!l->replaced_file) good = good && put_sum(l, s);
  if (l->root_node->opaque) good = good && put(s, "opaque-root");
  for (const struct node *node = l->nodes; good && node != NULL; node = node->next) {
    if (node->opaque && !node->dead && node->parent != NULL) good = put(s, "opaque") && put(s, path_of(node, path));
    if (good) good = has_room(s);
    if (good && is_invented(node)) good = put(s, "parent") && put(s, path_of(node, path));
  }
  for (const struct missing *m = l->missing; good && m != NULL; m = m->next) good = has_room(s) && put_missing(l, s, m);
  return good && put(s, "end") && flush(s);
}

static bool apply_all(struct layer *l, struct err *e) {
  struct tar_entry entry;
  for (bool got = true;;) {
    if (!tar_next(&l->tar, &entry, &got, e)) return false;
    if (!got) return tar_drain(&l->tar, e);
    if (!apply(l, &entry, e)) return false;
    l->entries++;
    if (!within_budget(l, e)) return false;
  }
}

static bool start(struct layer *l, int from, struct err *e) {
  struct stat info;
  l->missing_end = &l->missing;
  l->table_size = 64;
  l->table = calloc(l->table_size, sizeof *l->table);
  if (l->table == NULL) return fail(e, ENOMEM, "unpack", "directories");
  for (size_t i = 0; i < CACHE_SIZE; i++) l->cache[i].fd = -1;
  AUTO_CLOSE int fd = openat(l->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fchown(fd, 0, 0) < 0 || fchmod(fd, 0755) < 0 || fstat(fd, &info) < 0)
    return fail_errno(e, "prepare", "/");
  l->root_node = add_node(l, NULL, "", info.st_ino, e);
  return l->root_node != NULL && tar_open(&l->tar, from, e);
}

static void end(struct layer *l) {
  tar_close(&l->tar);
  for (size_t i = 0; i < CACHE_SIZE; i++) empty_slot(&l->cache[i]);
  for (struct missing *m = l->missing, *next; m != NULL; m = next) {
    next = m->next;
    free(m->name);
    free(m->target);
    free(m);
  }
  for (struct node *node = l->nodes, *next; node != NULL; node = next) {
    next = node->next;
    free(node);
  }
  free(l->table);
}

bool unpack_stream(int root, int from, int to, struct err *e) {
  struct layer *l = calloc(1, sizeof *l);
  struct sink *s = calloc(1, sizeof *s);
  bool good = l != NULL && s != NULL;
  if (!good) fail(e, ENOMEM, "unpack", "layer");
  if (good) {
    l->root = root;
    l->out = s->fd = to;
    good = start(l, from, e) && apply_all(l, e) && set_directory_times(l, e);
    if (good && !put_records(l, s))
      good = errno == E2BIG ? fail(e, E2BIG, "unpack", "too many invented directories") : fail_errno(e, "write", "records");
    end(l);
  }
  free(l);
  free(s);
  return good;
}
