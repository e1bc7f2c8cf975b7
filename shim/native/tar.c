#include "tar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_SIZE (256u << 10)
#define SIZE_LIMIT ((uint64_t)1 << 62)
#define ID_LIMIT ((uint64_t)0xfffffffe)  // (uid_t)-1 means "leave it" to chown

static bool bad(const struct tar *tar, int number, const char *what, struct err *e) {
  char place[48];
  (void)snprintf(place, sizeof place, "offset %" PRIu64, tar->offset);
  return fail(e, number, what, place);
}

bool tar_open(struct tar *tar, int fd, struct err *e) {
  memset(tar, 0, sizeof *tar);
  tar->fd = fd;
  tar->buffer = malloc(BUFFER_SIZE);
  return tar->buffer != NULL || fail(e, ENOMEM, "read tar", "buffer");
}

static void forget_special(struct tar *tar) {
  free(tar->pax);
  free(tar->long_name);
  free(tar->long_link);
  tar->pax = NULL;
  tar->long_name = tar->long_link = NULL;
  tar->pax_length = 0;
}

void tar_close(struct tar *tar) {
  forget_special(tar);
  free(tar->buffer);
  free(tar->map);
  tar->buffer = NULL;
  tar->map = NULL;
}

// Fills the empty buffer; at EOF it stays empty.
static bool refill(struct tar *tar, struct err *e) {
  ssize_t count;
  do count = read(tar->fd, tar->buffer, BUFFER_SIZE);
  while (count < 0 && errno == EINTR);
  if (count < 0) return bad(tar, errno, "read tar", e);
  tar->at = 0;
  tar->end = (size_t)count;
  tar->ended = count == 0;
  return true;
}

static bool take(struct tar *tar, void *out, size_t length, size_t *got, struct err *e) {
  *got = 0;
  while (*got < length) {
    if (tar->at == tar->end && !refill(tar, e)) return false;
    if (tar->ended) return true;
    size_t part = tar->end - tar->at;
    if (part > length - *got) part = length - *got;
    if (out != NULL) memcpy((uint8_t *)out + *got, tar->buffer + tar->at, part);
    tar->at += part;
    tar->offset += part;
    *got += part;
  }
  return true;
}

static bool take_all(struct tar *tar, void *out, size_t length, struct err *e) {
  size_t got;
  if (!take(tar, out, length, &got, e)) return false;
  return got == length || bad(tar, EPIPE, "read tar: truncated", e);
}

// Up to what the buffer holds of the current entry's data, which begins at `offset` of the file; length 0 at its end.
// The bytes hold until the next call.
static bool next_piece(struct tar *tar, const uint8_t **data, size_t *length, uint64_t *offset, struct err *e) {
  *data = NULL;
  *length = 0;
  *offset = 0;
  if (tar->left == 0) return true;
  if (tar->at == tar->end && !refill(tar, e)) return false;
  if (tar->ended) return bad(tar, EPIPE, "read tar: truncated", e);
  while (tar->map_done == tar->map[tar->map_at].length) tar->map_at++, tar->map_done = 0;
  const struct tar_segment *segment = &tar->map[tar->map_at];
  size_t part = tar->end - tar->at;
  if (part > segment->length - tar->map_done) part = (size_t)(segment->length - tar->map_done);
  *data = tar->buffer + tar->at;
  *offset = segment->offset + tar->map_done;
  tar->map_done += part;
  *length = part;
  tar->at += part;
  tar->offset += part;
  tar->left -= part;
  return true;
}

bool tar_write(struct tar *tar, const struct tar_entry *entry, int fd, struct err *e) {
  const uint8_t *data;
  size_t length;
  uint64_t at = 0, offset;
  for (;; at = offset + length, tar->bytes += length, tar->pieces++) {
    if (!next_piece(tar, &data, &length, &offset, e)) return false;
    if (length == 0) break;
    if (offset != at && lseek(fd, (off_t)offset, SEEK_SET) < 0) return fail_errno(e, "seek", entry->name);
    if (!write_all(fd, data, length)) return fail_errno(e, "write", entry->name);
    content_add(&tar->file, offset, data, length);
  }
  tar->content += content_end(&tar->file, entry->size);
  return at == entry->size || ftruncate(fd, (off_t)entry->size) == 0 || fail_errno(e, "set size", entry->name);
}

static bool skip_rest(struct tar *tar, struct err *e) {
  const uint8_t *data;
  size_t length;
  uint64_t offset;
  do {
    if (!next_piece(tar, &data, &length, &offset, e)) return false;
  } while (length > 0);
  size_t got, padding = tar->padding;
  tar->padding = 0;
  // Some writers end with the last byte of the last file (umoci insert); tar readers in Go take that for whole.
  return take(tar, NULL, padding, &got, e) && (got == 0 || got == padding || bad(tar, EPIPE, "read tar: truncated", e));
}

bool tar_drain(struct tar *tar, struct err *e) {
  while (!tar->ended) {
    tar->offset += tar->end - tar->at;
    if (!refill(tar, e)) return false;
  }
  return true;
}

static void set_data(struct tar *tar, uint64_t size) {
  tar->left = size;
  tar->padding = (uint32_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

// Base-256 of GNU: two's complement, big-endian, the first byte's top bit marks it.
static bool read_base256(const uint8_t *field, size_t width, int64_t *out) {
  bool negative = (field[0] & 0x40) != 0;
  uint64_t value = negative ? UINT64_MAX : 0;
  for (size_t i = 0; i < width; i++) {
    uint8_t byte = field[i];
    if (i == 0) byte = negative ? byte : (uint8_t)(byte & 0x7f);
    // What is shifted out must be sign alone.
    if ((value >> 55) != (negative ? UINT64_MAX >> 55 : 0)) return false;
    value = value << 8 | byte;
  }
  *out = (int64_t)value;
  return true;
}

static bool read_field(const uint8_t *field, size_t width, int64_t *out) {
  if ((field[0] & 0x80) != 0) return read_base256(field, width, out);
  size_t i = 0, end = width;
  while (i < end && (field[i] == ' ' || field[i] == 0)) i++;
  while (end > i && (field[end - 1] == ' ' || field[end - 1] == 0)) end--;
  int64_t value = 0;  // at most 12 octal digits
  for (; i < end; i++) {
    if (field[i] < '0' || field[i] > '7') return false;
    value = value << 3 | (field[i] - '0');
  }
  *out = value;
  return true;
}

static bool checksum_fits(const uint8_t *block) {
  int64_t stored, plain = 0, with_sign = 0;
  if (!read_field(block + 148, 8, &stored)) return false;
  for (size_t i = 0; i < TAR_BLOCK; i++) {
    uint8_t byte = i >= 148 && i < 156 ? ' ' : block[i];
    plain += byte;
    with_sign += (int8_t)byte;  // some old writers summed signed bytes
  }
  return stored == plain || stored == with_sign;
}

static bool all_zero(const uint8_t *block) {
  for (size_t i = 0; i < TAR_BLOCK; i++)
    if (block[i] != 0) return false;
  return true;
}

static size_t copy_field(char *out, const uint8_t *field, size_t width) {
  size_t length = strnlen((const char *)field, width);
  memcpy(out, field, length);
  out[length] = 0;
  return length;
}

static void read_names(struct tar *tar, const uint8_t *block) {
  size_t at = 0;
  bool ustar = memcmp(block + 257, "ustar\0", 6) == 0;
  if (ustar) at = copy_field(tar->name, block + 345, memcmp(block + 508, "tar", 4) == 0 ? 131 : 155);
  if (at > 0) tar->name[at++] = '/';
  (void)copy_field(tar->name + at, block, 100);
  (void)copy_field(tar->target, block + 157, 100);
}

static bool read_number_field(const struct tar *tar, const uint8_t *field, size_t width, uint64_t limit, uint64_t *out,
                              const char *what, struct err *e) {
  int64_t value;
  if (!read_field(field, width, &value) || value < 0 || (uint64_t)value > limit) return bad(tar, EINVAL, what, e);
  *out = (uint64_t)value;
  return true;
}

// --- sparse files (tar's manual, "Storing Sparse Files") ---

static bool add_segment(struct tar *tar, uint64_t offset, uint64_t length, struct err *e) {
  if (tar->map_count == TAR_SEGMENT_LIMIT) return bad(tar, E2BIG, "read tar: segments of a sparse file", e);
  if (tar->map_count == tar->map_size) {
    const size_t size = tar->map_size * 2 + 8;
    struct tar_segment *map = realloc(tar->map, size * sizeof *map);
    if (map == NULL) return bad(tar, ENOMEM, "read tar: sparse file", e);
    tar->map = map;
    tar->map_size = size;
  }
  tar->map[tar->map_count++] = (struct tar_segment){.offset = offset, .length = length};
  return true;
}

// The map is that of `size` bytes of which `stored` are in the stream.
static bool check_map(const struct tar *tar, uint64_t size, uint64_t stored, struct err *e) {
  uint64_t at = 0, sum = 0;
  for (size_t i = 0; i < tar->map_count; i++) {
    const struct tar_segment *s = &tar->map[i];
    if (s->offset < at || s->offset > size || s->length > size - s->offset)
      return bad(tar, EINVAL, "read tar: segment of a sparse file", e);
    at = s->offset + s->length;
    sum += s->length;
  }
  return sum == stored || bad(tar, EINVAL, "read tar: size of a sparse file", e);
}

// In old GNU headers: pairs of 12 bytes, the first that is empty ends them.
static bool read_old_pairs(struct tar *tar, const uint8_t *pair, size_t count, struct err *e) {
  uint64_t offset, length;
  for (; count > 0 && pair[0] != 0; pair += 24, count--)
    if (!read_number_field(tar, pair, 12, SIZE_LIMIT, &offset, "read tar: sparse file", e) ||
        !read_number_field(tar, pair + 12, 12, SIZE_LIMIT, &length, "read tar: sparse file", e) ||
        !add_segment(tar, offset, length, e))
      return false;
  return true;
}

static bool read_old_map(struct tar *tar, const uint8_t *header, uint64_t *size, struct err *e) {
  uint8_t block[TAR_BLOCK];
  if (memcmp(header + 257, "ustar ", 6) != 0) return bad(tar, EINVAL, "read tar: sparse file", e);
  if (!read_number_field(tar, header + 483, 12, SIZE_LIMIT, size, "read tar: sparse file", e)) return false;
  if (!read_old_pairs(tar, header + 386, 4, e)) return false;
  for (bool more = header[482] != 0; more; more = block[504] != 0)
    if (!take_all(tar, block, sizeof block, e) || !read_old_pairs(tar, block, 21, e)) return false;
  return true;
}

// pax 1.0: the data begins with lines, the count and then the pairs, in blocks of their own.
static bool read_line(struct tar *tar, uint8_t block[TAR_BLOCK], size_t *at, uint64_t *stored, uint64_t *out,
                      struct err *e) {
  char text[24];
  for (size_t length = 0; length < sizeof text; length++, ++*at) {
    if (*at == TAR_BLOCK) {
      if (*stored < TAR_BLOCK) break;
      if (!take_all(tar, block, TAR_BLOCK, e)) return false;
      *stored -= TAR_BLOCK;
      *at = 0;
    }
    text[length] = (char)block[*at];
    if (text[length] != '\n') continue;
    text[length] = 0;
    ++*at;
    return parse_number(text, SIZE_LIMIT, out) || bad(tar, EINVAL, "read tar: sparse file", e);
  }
  return bad(tar, EINVAL, "read tar: sparse file", e);
}

static bool read_inner_map(struct tar *tar, uint64_t *stored, struct err *e) {
  uint8_t block[TAR_BLOCK];
  size_t at = TAR_BLOCK;
  uint64_t count, offset, length;
  if (!read_line(tar, block, &at, stored, &count, e)) return false;
  for (; count > 0; count--)
    if (!read_line(tar, block, &at, stored, &offset, e) || !read_line(tar, block, &at, stored, &length, e) ||
        !add_segment(tar, offset, length, e))
      return false;
  return true;
}

// pax 0.0 gives the numbers one by one, 0.1 all at once.
static bool add_pax_number(struct tar *tar, const char *text, bool is_length, struct err *e) {
  uint64_t value;
  if (!parse_number(text, SIZE_LIMIT, &value) || tar->map_half != is_length)
    return bad(tar, EINVAL, "read tar: sparse file", e);
  tar->map_half = !is_length;
  if (!is_length) return add_segment(tar, value, 0, e);
  tar->map[tar->map_count - 1].length = value;
  return true;
}

static bool read_pax_map(struct tar *tar, char *text, struct err *e) {
  for (char *part; (part = strsep(&text, ",")) != NULL;)
    if (!add_pax_number(tar, part, tar->map_half, e)) return false;
  return true;
}

// The whole of a special entry's data, with a NUL behind it.
static bool read_special(struct tar *tar, uint64_t size, uint8_t **out, struct err *e) {
  if (size > TAR_SPECIAL_LIMIT) return bad(tar, E2BIG, "read tar: pax or long name", e);
  uint8_t *data = malloc((size_t)size + 1);
  if (data == NULL) return bad(tar, ENOMEM, "read tar", e);
  set_data(tar, size);
  tar->left = 0;
  if (!take_all(tar, data, (size_t)size, e)) {
    free(data);
    return false;
  }
  data[size] = 0;
  *out = data;
  return true;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// In place: what comes out is never longer.
static void decode_percent(char *text) {
  char *out = text;
  for (const char *in = text; *in != 0; in++) {
    int high = *in == '%' ? hex_digit(in[1]) : -1, low = high >= 0 ? hex_digit(in[2]) : -1;
    if (low >= 0) in += 2;
    *out++ = (char)(low >= 0 ? high << 4 | low : *in);
  }
  *out = 0;
}

static bool decode_base64(uint8_t *data, size_t *length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t bits = 0, count = 0;
  size_t out = 0, end = *length;
  while (end > 0 && data[end - 1] == '=') end--;
  for (size_t i = 0; i < end; i++) {
    const char *digit = data[i] == 0 ? NULL : strchr(digits, data[i]);
    if (digit == NULL) return false;
    bits = bits << 6 | (uint32_t)(digit - digits);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    data[out++] = (uint8_t)(bits >> count);
  }
  *length = out;
  return true;
}

// "1700000000.123456789"; digits past the ninth are cut, as everybody does.
static bool parse_time(const char *text, struct timespec *out) {
  bool negative = *text == '-';
  char *end;
  errno = 0;
  if (text[negative] < '0' || text[negative] > '9') return false;
  long long seconds = strtoll(text, &end, 10);
  if (errno != 0) return false;
  long nanoseconds = 0, unit = 100000000;
  if (*end == '.')
    for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10) nanoseconds += (*end - '0') * unit;
  if (*end != 0) return false;
  if (negative && nanoseconds > 0) {
    seconds--;
    nanoseconds = 1000000000 - nanoseconds;
  }
  *out = (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = nanoseconds};
  return true;
}

struct pax_values {
  const char *path, *link, *size, *uid, *gid, *mtime;
  const char *major, *minor, *sparse_name, *sparse_size;
};

static bool pax_xattr(const struct tar *tar, struct tar_entry *entry, char *name, uint8_t *value, size_t length,
                      bool encoded, struct err *e) {
  if (encoded) decode_percent(name);
  if (encoded && !decode_base64(value, &length)) return bad(tar, EINVAL, "read tar: base64 of an xattr", e);
  if (*name == 0) return bad(tar, EINVAL, "read tar: name of an xattr", e);
  if (entry->xattr_count == TAR_XATTR_LIMIT) return bad(tar, E2BIG, "read tar: xattrs of one entry", e);
  entry->xattrs[entry->xattr_count++] = (struct tar_xattr){.name = name, .value = value, .length = length};
  return true;
}

static bool pax_record(struct tar *tar, struct tar_entry *entry, struct pax_values *values, char *key,
                       uint8_t *value, size_t length, struct err *e) {
  static const char schily[] = "SCHILY.xattr.", libarchive[] = "LIBARCHIVE.xattr.";
  if (strncmp(key, schily, sizeof schily - 1) == 0)
    return pax_xattr(tar, entry, key + sizeof schily - 1, value, length, false, e);
  if (strncmp(key, libarchive, sizeof libarchive - 1) == 0)
    return pax_xattr(tar, entry, key + sizeof libarchive - 1, value, length, true, e);
  if (strcmp(key, "GNU.sparse.map") == 0) return read_pax_map(tar, (char *)value, e);
  if (strcmp(key, "GNU.sparse.offset") == 0) return add_pax_number(tar, (char *)value, false, e);
  if (strcmp(key, "GNU.sparse.numbytes") == 0) return add_pax_number(tar, (char *)value, true, e);
  const struct {
    const char *name;
    const char **at;
  } known[] = {{"path", &values->path},
               {"linkpath", &values->link},
               {"size", &values->size},
               {"uid", &values->uid},
               {"gid", &values->gid},
               {"mtime", &values->mtime},
               {"GNU.sparse.major", &values->major},
               {"GNU.sparse.minor", &values->minor},
               {"GNU.sparse.name", &values->sparse_name},
               {"GNU.sparse.size", &values->sparse_size},
               {"GNU.sparse.realsize", &values->sparse_size}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(key, known[i].name) != 0) continue;
    if (memchr(value, 0, length) != NULL) return bad(tar, EINVAL, "read tar: zero byte in a pax value", e);
    *known[i].at = length == 0 ? NULL : (const char *)value;  // empty: as if it were not there
  }
  return true;
}

// "LENGTH KEY=VALUE\n", the length counts all of it.
static bool parse_pax(struct tar *tar, struct tar_entry *entry, struct pax_values *values, struct err *e) {
  uint8_t *at = tar->pax, *end = tar->pax == NULL ? NULL : tar->pax + tar->pax_length;
  while (at < end) {
    uint64_t length = 0;
    uint8_t *digit = at;
    while (digit < end && *digit >= '0' && *digit <= '9' && length <= TAR_SPECIAL_LIMIT)
      length = length * 10 + (uint64_t)(*digit++ - '0');
    if (digit == at || digit == end || *digit != ' ' || length > (uint64_t)(end - at) ||
        length < (uint64_t)(digit - at) + 3 || at[length - 1] != '\n')
      return bad(tar, EINVAL, "read tar: pax record", e);
    uint8_t *key = digit + 1, *last = at + length - 1, *equals = memchr(key, '=', (size_t)(last - key));
    if (equals == NULL || equals == key || memchr(key, 0, (size_t)(equals - key)) != NULL)
      return bad(tar, EINVAL, "read tar: pax key", e);
    *equals = *last = 0;
    if (!pax_record(tar, entry, values, (char *)key, equals + 1, (size_t)(last - equals - 1), e)) return false;
    at += length;
  }
  return true;
}

static bool pax_number(const struct tar *tar, const char *text, uint64_t limit, uint64_t *out, const char *what,
                       struct err *e) {
  return text == NULL || parse_number(text, limit, out) || bad(tar, EINVAL, what, e);
}

static bool is_zeroed(char type) {
  return type >= '1' && type <= '6';  // these never have data, whatever their size field says
}

static bool read_type(const struct tar *tar, struct tar_entry *entry, char type, struct err *e) {
  size_t length = strlen(entry->name);
  if (type == 0) type = length > 0 && entry->name[length - 1] == '/' ? '5' : '0';
  if (type == '7') type = '0';
  if (type == 'S') type = '0';
  if (type < '0' || type > '6') return bad(tar, EOPNOTSUPP, "read tar: entry type", e);
  entry->type = type;
  return true;
}

// Where the data goes, and the size that the file gets.
static bool read_map(struct tar *tar, const uint8_t *block, const struct pax_values *pax, struct tar_entry *entry,
                     struct err *e) {
  const char *major = pax->major == NULL ? "0" : pax->major, *minor = pax->minor == NULL ? "0" : pax->minor;
  const bool inner = strcmp(major, "1") == 0 && strcmp(minor, "0") == 0;
  uint64_t stored = entry->size;
  set_data(tar, stored);
  if (entry->type != '0') return tar->map_count == 0 || bad(tar, EINVAL, "read tar: sparse file", e);
  if (block[156] == 'S') {
    if (tar->map_count > 0) return bad(tar, EINVAL, "read tar: sparse file", e);
    if (!read_old_map(tar, block, &entry->size, e)) return false;
  } else if (pax->sparse_size == NULL && tar->map_count == 0 && pax->major == NULL) {
    return add_segment(tar, 0, stored, e);
  } else {
    if (!inner && (strcmp(major, "0") != 0 || (strcmp(minor, "0") != 0 && strcmp(minor, "1") != 0)))
      return bad(tar, EOPNOTSUPP, "read tar: version of a sparse file", e);
    if (tar->map_half || pax->sparse_size == NULL || (inner && tar->map_count > 0))
      return bad(tar, EINVAL, "read tar: sparse file", e);
    if (!pax_number(tar, pax->sparse_size, SIZE_LIMIT, &entry->size, "read tar: size", e)) return false;
    if (inner && !read_inner_map(tar, &stored, e)) return false;
    tar->left = stored;
  }
  return check_map(tar, entry->size, stored, e);
}

static bool read_entry(struct tar *tar, const uint8_t *block, struct tar_entry *entry, struct err *e) {
  uint64_t uid = 0, gid = 0, size = 0, number = 0;
  int64_t mode = 0, mtime = 0;
  struct pax_values pax = {0};
  memset(entry, 0, sizeof *entry);
  tar->map_count = tar->map_at = 0;
  tar->map_done = 0;
  tar->map_half = false;
  read_names(tar, block);
  if (!parse_pax(tar, entry, &pax, e)) return false;
  entry->name = tar->long_name != NULL ? tar->long_name : pax.path != NULL ? pax.path : tar->name;
  // The other name of a sparse file is for readers that do not know them.
  if (pax.sparse_name != NULL && pax.sparse_size != NULL) entry->name = pax.sparse_name;
  entry->link = tar->long_link != NULL ? tar->long_link : pax.link != NULL ? pax.link : tar->target;
  if (strlen(entry->name) >= TAR_PATH_LIMIT || strlen(entry->link) >= TAR_PATH_LIMIT)
    return bad(tar, ENAMETOOLONG, "read tar: name", e);
  if (*entry->name == 0) return bad(tar, EINVAL, "read tar: empty name", e);
  if (!read_type(tar, entry, (char)block[156], e)) return false;
  // Old writers put the file type in front of the mode.
  if (!read_field(block + 100, 8, &mode) || mode < 0 || mode > 077777777) return bad(tar, EINVAL, "read tar: mode", e);
  if (!read_field(block + 136, 12, &mtime)) return bad(tar, EINVAL, "read tar: mtime", e);
  if (pax.uid == NULL && !read_number_field(tar, block + 108, 8, ID_LIMIT, &uid, "read tar: uid", e)) return false;
  if (pax.gid == NULL && !read_number_field(tar, block + 116, 8, ID_LIMIT, &gid, "read tar: gid", e)) return false;
  if (pax.size == NULL && !read_number_field(tar, block + 124, 12, SIZE_LIMIT, &size, "read tar: size", e))
    return false;
  if (!pax_number(tar, pax.uid, ID_LIMIT, &uid, "read tar: uid", e)) return false;
  if (!pax_number(tar, pax.gid, ID_LIMIT, &gid, "read tar: gid", e)) return false;
  if (!pax_number(tar, pax.size, SIZE_LIMIT, &size, "read tar: size", e)) return false;
  entry->mtime.tv_sec = (time_t)mtime;
  if (pax.mtime != NULL && !parse_time(pax.mtime, &entry->mtime)) return bad(tar, EINVAL, "read tar: mtime", e);
  entry->mode = (mode_t)(mode & 07777);
  entry->uid = (uid_t)uid;
  entry->gid = (gid_t)gid;
  entry->size = is_zeroed(entry->type) ? 0 : size;
  if (!read_map(tar, block, &pax, entry, e)) return false;
  if (entry->type != '3' && entry->type != '4') return true;
  if (!read_number_field(tar, block + 329, 8, 0xfff, &number, "read tar: device major", e)) return false;
  entry->major = (unsigned)number;
  if (!read_number_field(tar, block + 337, 8, 0xfffff, &number, "read tar: device minor", e)) return false;
  entry->minor = (unsigned)number;
  return true;
}

// pax and GNU headers speak of the entry behind them. *special is false for an entry.
static bool read_special_header(struct tar *tar, const uint8_t *block, bool *special, struct err *e) {
  char type = (char)block[156];
  uint64_t size;
  uint8_t *data = NULL;
  *special = type == 'x' || type == 'g' || type == 'L' || type == 'K';
  if (!*special) return true;
  if (!read_number_field(tar, block + 124, 12, SIZE_LIMIT, &size, "read tar: size", e)) return false;
  if (!read_special(tar, size, &data, e)) return false;
  if (type == 'g') {  // a comment (git's commit id), never attributes that a layer may set for all its files
    free(data);
  } else if (type == 'x') {
    free(tar->pax);
    tar->pax = data;
    tar->pax_length = (size_t)size;
  } else {
    char **slot = type == 'L' ? &tar->long_name : &tar->long_link;
    free(*slot);
    *slot = (char *)data;
  }
  return true;
}

bool tar_next(struct tar *tar, struct tar_entry *entry, bool *got, struct err *e) {
  uint8_t block[TAR_BLOCK];
  size_t count;
  *got = false;
  if (!skip_rest(tar, e)) return false;
  forget_special(tar);
  for (bool special = false;;) {
    if (!skip_rest(tar, e) || !take(tar, block, sizeof block, &count, e)) return false;
    // Some writers leave the two zero blocks out, and a layer of nothing is then no byte: tar readers in Go take that as well.
    if (count == 0 && !special) return true;
    if (count < sizeof block) return bad(tar, EPIPE, "read tar: truncated", e);
    if (all_zero(block)) return !special || bad(tar, EINVAL, "read tar: header without an entry", e);
    if (!checksum_fits(block)) return bad(tar, EINVAL, "read tar: checksum of a header", e);
    if (!read_special_header(tar, block, &special, e)) return false;
    if (special) continue;
    *got = true;
    return read_entry(tar, block, entry, e);
  }
}
