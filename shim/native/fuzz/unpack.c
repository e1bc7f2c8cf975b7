// One run of the fuzzer: text that describes one or two layers becomes tar streams, they are unpacked without the
// confinement around it, the second gets its fix-up above the first, and nothing outside of them may have changed.
//
// A line is an entry: its type, then fields with a tab before each, KEY=VALUE, "%41" for any byte in a value.
//   n name  l link  p prefix  m mode  u uid  g gid  s size  t mtime  M magic  j major  i minor  z sparse header: the
//   bytes of the header's fields   d data   e blocks between header and data   N K GNU long name and link
//   P KEY=VALUE record of a pax header   X raw bytes in it   C (empty) a wrong checksum
// "E": the stream ends without its zero blocks. "---": the second layer begins. "===": what follows are the records for
// the fix-up, one a line with tabs between the fields, in place of the unpacker's own. "!BYTES": as they are.
// "#": says what the input is about.
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unpack.h"
#include "fuzz.h"

#define TEXT_LIMIT (64u << 10)
#define STREAM_LIMIT (512u << 10)

struct stream {
  uint8_t data[STREAM_LIMIT];
  size_t length;
};

struct value {
  const uint8_t *bytes;
  size_t length;
};

static void put(struct stream *s, const void *data, size_t length, bool padded) {
  const size_t whole = padded ? (length + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK : length;
  if (whole > STREAM_LIMIT - s->length) return;
  if (data != NULL) memcpy(s->data + s->length, data, length);
  memset(s->data + s->length + (data == NULL ? 0 : length), 0, data == NULL ? whole : whole - length);
  s->length += whole;
}

static int hex(uint8_t c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

// In place.
static struct value decode(uint8_t *text, size_t length) {
  size_t out = 0;
  for (size_t i = 0; i < length; i++) {
    const int high = text[i] == '%' && i + 2 < length ? hex(text[i + 1]) : -1, low = high < 0 ? -1 : hex(text[i + 2]);
    text[out++] = (uint8_t)(low < 0 ? text[i] : high << 4 | low);
    if (low >= 0) i += 2;
  }
  return (struct value){text, out};
}

struct place {
  char key;
  uint16_t at, width;
};
static const struct place places[] = {{'n', 0, 100},   {'m', 100, 8},  {'u', 108, 8},   {'g', 116, 8}, {'s', 124, 12},
                                      {'t', 136, 12},  {'l', 157, 100}, {'M', 257, 8},  {'j', 329, 8}, {'i', 337, 8},
                                      {'p', 345, 155}, {'z', 386, 126}};

static void put_header(struct stream *s, char type, size_t size, const struct value *values) {
  uint8_t block[TAR_BLOCK] = {0};
  unsigned sum = 0;
  (void)snprintf((char *)block + 100, 8, "%07o", 0755);
  (void)snprintf((char *)block + 108, 8, "%07o", 0);
  (void)snprintf((char *)block + 116, 8, "%07o", 0);
  (void)snprintf((char *)block + 124, 12, "%011zo", size);
  (void)snprintf((char *)block + 136, 12, "%011o", 1600000000);
  memcpy(block + 257, "ustar\00000", 8);
  block[156] = (uint8_t)type;
  for (size_t i = 0; values != NULL && i < sizeof places / sizeof *places; i++) {
    const struct value *v = &values[(uint8_t)places[i].key];
    const size_t length = v->length < places[i].width ? v->length : places[i].width;
    if (v->bytes != NULL) memset(block + places[i].at, 0, places[i].width), memcpy(block + places[i].at, v->bytes, length);
  }
  memset(block + 148, ' ', 8);
  for (size_t i = 0; i < TAR_BLOCK; i++) sum += block[i];
  (void)snprintf((char *)block + 148, 8, "%06o", sum + (values != NULL && values['C'].bytes != NULL));
  put(s, block, TAR_BLOCK, true);
}

static void put_special(struct stream *s, char type, const struct value *v) {
  if (v->bytes == NULL) return;
  put_header(s, type, v->length, NULL);
  put(s, v->bytes, v->length, true);
}

static void add_record(uint8_t *pax, size_t *length, const struct value *v) {
  char count[32];
  size_t digits = 1;
  while ((size_t)snprintf(count, sizeof count, "%zu", v->length + 2 + digits) != digits) digits++;
  if (*length + digits + v->length + 2 > TEXT_LIMIT) return;
  memcpy(pax + *length, count, digits);
  pax[*length + digits] = ' ';
  memcpy(pax + *length + digits + 1, v->bytes, v->length);
  pax[*length + digits + 1 + v->length] = '\n';
  *length += digits + v->length + 2;
}

static void put_entry(struct stream *s, uint8_t *line, size_t length) {
  static uint8_t pax[TEXT_LIMIT];
  struct value values[256] = {0};
  size_t pax_length = 0;
  for (size_t at = 1; at + 2 < length && line[at] == '\t';) {
    const uint8_t *end = memchr(line + at + 1, '\t', length - at - 1);
    const size_t next = end == NULL ? length : (size_t)(end - line);
    const uint8_t key = line[at + 1];
    if (line[at + 2] == '=' && at + 3 <= next) {
      const struct value v = decode(line + at + 3, next - at - 3);
      values[key] = v;
      if (key == 'P') add_record(pax, &pax_length, &v);
      if (key == 'X' && pax_length + v.length <= TEXT_LIMIT)
        memcpy(pax + pax_length, v.bytes, v.length), pax_length += v.length;
    }
    at = next;
  }
  const struct value records = {pax, pax_length};
  if (pax_length > 0) put_special(s, 'x', &records);
  put_special(s, 'L', &values['N']);
  put_special(s, 'K', &values['K']);
  put_header(s, (char)line[0], values['d'].length, values);
  put(s, values['e'].bytes, values['e'].length, true);
  put(s, values['d'].bytes, values['d'].length, true);
}

// --- the surrounding ---

static char base[] = "/dev/shm/berth-fuzz-XXXXXX", lower[64], upper[64], fixed[64], records_path[64], outside[64];
static struct stat surrounding[2];

static int lowest_free(void) {
  const int fd = dup(STDIN_FILENO);
  close(fd);
  return fd;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk) {
  (void)info, (void)type;
  return walk->level == 0 ? 0 : remove(path);
}

static struct value input;

static void must(bool holds, const char *what) {
  if (holds) return;
  perror(what);
  (void)write_all(STDERR_FILENO, input.bytes, input.length);
  abort();
}

static void look(struct stat found[2]) {
  must(stat(base, &found[0]) == 0 && stat(outside, &found[1]) == 0, "the surrounding is there");
}

static void prepare(void) {
  static bool done;
  if (done) return;
  done = true;
  umask(0);
  must(mkdtemp(base) != NULL, "make directory");
  (void)snprintf(lower, sizeof lower, "%s/lower", base);
  (void)snprintf(upper, sizeof upper, "%s/upper", base);
  (void)snprintf(fixed, sizeof fixed, "%s/fixed", base);
  (void)snprintf(records_path, sizeof records_path, "%s/records", base);
  (void)snprintf(outside, sizeof outside, "%s/outside", base);
  must(mkdir(lower, 0755) == 0 && mkdir(upper, 0755) == 0 && mkdir(fixed, 0755) == 0, "make directory");
  const int fd = open(outside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), records = open(records_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  must(fd >= 0 && records >= 0, "make file");
  close(records);
  close(fd);
  look(surrounding);
}

static void check_surrounding(int fd) {
  struct stat now[2];
  look(now);
  for (int i = 0; i < 2; i++)
    must(memcmp(&now[i].st_ctim, &surrounding[i].st_ctim, sizeof now[i].st_ctim) == 0, "nothing outside has changed");
  must(fd == lowest_free(), "no descriptor is left open");
}

// --- a run ---

static bool unpack_layer(const struct stream *s, const char *to, int records) {
  struct err e = {0};
  const int from = memfd_create("layer", MFD_CLOEXEC), root = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(from >= 0 && root >= 0 && write_all(from, s->data, s->length) && lseek(from, 0, SEEK_SET) == 0, "make stream");
  const bool good = unpack_stream(root, from, records, &e);
  must(good || (e.number != 0 && e.what[0] != 0 && e.object[0] != 0), "an error says what went wrong");
  close(from);
  close(root);
  return good;
}

static void run(const struct stream layers[2], const struct stream *records, bool two) {
  const int lowest = lowest_free(), ignored = open("/dev/null", O_WRONLY | O_CLOEXEC), to = open(records_path, O_RDWR | O_TRUNC | O_CLOEXEC);
  must(ignored >= 0 && to >= 0, "open records");
  if (unpack_layer(&layers[0], two ? lower : upper, ignored) && two && unpack_layer(&layers[1], upper, to)) {
    char *const lowers[] = {lower};
    const struct fix_options o = {.to = fixed, .layer = upper, .records = records_path, .lowers = lowers, .lower_count = 1};
    uint64_t entries;
    struct err e = {0};
    if (records->length > 0)
      must(ftruncate(to, 0) == 0 && lseek(to, 0, SEEK_SET) == 0 && write_all(to, records->data, records->length), "write records");
    must(fix_layer(&o, &entries, &e) || e.what[0] != 0, "an error says what went wrong");
  }
  close(ignored);
  close(to);
  check_surrounding(lowest);
  (void)nftw(lower, remove_one, 32, FTW_DEPTH | FTW_PHYS);
  (void)nftw(upper, remove_one, 32, FTW_DEPTH | FTW_PHYS);
  (void)nftw(fixed, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t text[TEXT_LIMIT];
  static struct stream streams[3];
  size_t which = 0;
  bool end = true;
  if (size == 0 || size > TEXT_LIMIT) return 0;
  input = (struct value){data, size};
  prepare();
  memcpy(text, data, size);
  for (size_t i = 0; i < 3; i++) streams[i].length = 0;
  for (size_t at = 0; at < size;) {
    uint8_t *line = text + at, *stop = memchr(line, '\n', size - at);
    const size_t length = stop == NULL ? size - at : (size_t)(stop - line);
    at += length + 1;
    const bool next = (which == 0 && length == 3 && memcmp(line, "---", 3) == 0) || (which == 1 && length == 3 && memcmp(line, "===", 3) == 0);
    if (next) {
      if (end) put(&streams[which], NULL, 2 * TAR_BLOCK, false);
      which++;
      end = true;
    } else if (which == 2) {
      for (size_t i = 0; i < length; i++)
        if (line[i] == '\t') line[i] = 0;
      const struct value v = decode(line, length);
      put(&streams[2], v.bytes, v.length, false);
      put(&streams[2], "", 1, false);
    } else if (length == 0 || line[0] == '#') {
      continue;
    } else if (line[0] == '!') {
      const struct value v = decode(line + 1, length - 1);
      put(&streams[which], v.bytes, v.length, false);
    } else if (length == 1 && line[0] == 'E') {
      end = false;
    } else {
      put_entry(&streams[which], line, length);
    }
  }
  if (which < 2 && end) put(&streams[which], NULL, 2 * TAR_BLOCK, false);
  run(streams, &streams[2], which > 0);
  return 0;
}
