// The fuzzer's seeds, and what comes out when they are mixed in a fixed order of chance: lines and fields of all seeds
// are put together anew, bytes are changed. `native.mjs --fuzz` searches on with libFuzzer.
#include <dirent.h>

#include "../fuzz/unpack.c"
#include "tap.h"

#define SEEDS 256
#define ROUNDS 4000

static struct {
  uint8_t text[8192];
  size_t length;
} seeds[SEEDS], mixed;
static size_t seed_count;

static uint32_t state = 1;
static size_t below(size_t limit) {
  state = state * 1664525u + 1013904223u;
  return limit == 0 ? 0 : (size_t)(((uint64_t)state * limit) >> 32);
}

static bool read_seeds(void) {
  char path[512];
  (void)snprintf(path, sizeof path, "%.*s../fuzz/seeds", (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__);
  struct dirent **names;
  const int count = scandir(path, &names, NULL, alphasort);
  const int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < count; i++) {
    const int fd = names[i]->d_name[0] == '.' || seed_count == SEEDS ? -1 : openat(dir, names[i]->d_name, O_RDONLY | O_CLOEXEC);
    const ssize_t length = fd < 0 ? -1 : read(fd, seeds[seed_count].text, sizeof seeds->text);
    if (length > 0) seeds[seed_count++].length = (size_t)length;
    if (fd >= 0) close(fd);
    free(names[i]);
  }
  free(names);
  close(dir);
  return seed_count > 20;
}

// A part of a seed from behind one `mark` (or its beginning) to the next.
static void pick(uint8_t mark, const uint8_t **part, size_t *length) {
  const size_t seed = below(seed_count);
  const uint8_t *text = seeds[seed].text, *end = text + seeds[seed].length;
  const size_t start = below(seeds[seed].length);
  const uint8_t *from = memchr(text + start, mark, seeds[seed].length - start);
  from = from == NULL ? text : from + 1;
  const uint8_t *to = memchr(from, mark, (size_t)(end - from));
  *part = from;
  *length = (size_t)((to == NULL ? end : to) - from);
}

// Puts `part` where `mixed` has [at, at + old).
static void put_part(size_t at, size_t old, const uint8_t *part, size_t length) {
  if (mixed.length - old + length > sizeof mixed.text) return;
  memmove(mixed.text + at + length, mixed.text + at + old, mixed.length - at - old);
  memcpy(mixed.text + at, part, length);
  mixed.length = mixed.length - old + length;
}

static void mutate(void) {
  static const uint8_t marks[] = "\n\n\t\t=";
  const uint8_t mark = marks[below(5)], *part, *next;
  size_t length, at = below(mixed.length);
  while (at < mixed.length && mixed.text[at] != mark) at++;
  if (at < mixed.length) at++;
  next = memchr(mixed.text + at, mark == '=' ? '\t' : mark, mixed.length - at);
  const size_t old = next == NULL ? 0 : (size_t)(next - mixed.text) - at;
  pick(mark, &part, &length);
  switch (below(5)) {
    case 0: put_part(at, old, part, length); break;
    case 1: put_part(at, 0, part, length), put_part(at + length, 0, &mark, 1); break;
    case 2: put_part(at, old, part, 0); break;
    case 3: put_part(at, 0, mixed.text + at, old); break;
    default: mixed.text[below(mixed.length)] = (uint8_t)below(256);
  }
}

int main(void) {
  claim(read_seeds(), "the seeds are there");
  for (size_t i = 0; i < seed_count; i++) LLVMFuzzerTestOneInput(seeds[i].text, seeds[i].length);
  claim(true, "each seed unpacks or is refused, and changes nothing outside");
  for (size_t i = 0; i < ROUNDS; i++) {
    mixed = seeds[below(seed_count)];
    for (size_t changes = 1 + below(6); changes > 0; changes--) mutate();
    LLVMFuzzerTestOneInput(mixed.text, mixed.length);
  }
  claim(true, "four thousand mixtures of them do as well");
  claim(nftw(base, remove_one, 32, FTW_DEPTH | FTW_PHYS) == 0 && rmdir(base) == 0, "nothing is left");
  return tap_done();
}
