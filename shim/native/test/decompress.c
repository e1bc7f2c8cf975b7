// The seeds of the decompressor's fuzzer, and what comes out when their bytes are changed and their parts put together anew,
// in a fixed order of chance. `native.mjs --fuzz` searches on with libFuzzer.
#include <dirent.h>

#include "../fuzz/decompress.c"
#include "tap.h"

#define SEEDS 64
#define ROUNDS 6000

static struct {
  uint8_t bytes[4096];
  size_t length;
} seeds[SEEDS], mixed;
static size_t seed_count;

static uint32_t chance = 1;
static size_t below(size_t limit) {
  chance = chance * 1664525u + 1013904223u;
  return limit == 0 ? 0 : (size_t)(((uint64_t)chance * limit) >> 32);
}

static bool read_seeds(void) {
  char path[512];
  (void)snprintf(path, sizeof path, "%.*s../fuzz/seeds-decompress", (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__);
  struct dirent **names;
  const int count = scandir(path, &names, NULL, alphasort);
  const int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < count; i++) {
    const int fd = names[i]->d_name[0] == '.' || seed_count == SEEDS ? -1 : openat(dir, names[i]->d_name, O_RDONLY | O_CLOEXEC);
    const ssize_t length = fd < 0 ? -1 : read(fd, seeds[seed_count].bytes, sizeof seeds->bytes);
    if (length > 0) seeds[seed_count++].length = (size_t)length;
    if (fd >= 0) close(fd);
    free(names[i]);
  }
  free(names);
  close(dir);
  return seed_count > 12;
}

static void mutate(void) {
  static const uint8_t odd[] = {0, 1, 0x1f, 0x7f, 0x80, 0xff};
  const size_t at = below(mixed.length), other = below(seed_count);
  switch (below(5)) {
    case 0: mixed.bytes[at] = odd[below(sizeof odd)]; break;
    case 1: mixed.bytes[at] ^= (uint8_t)(1u << below(8)); break;
    case 2: mixed.length = at < 3 ? mixed.length : at; break;
    case 3: mixed.bytes[below(2)] = (uint8_t)below(256); break;
    default: {  // behind it a part of another
      const size_t from = below(seeds[other].length), room = sizeof mixed.bytes - mixed.length;
      const size_t length = seeds[other].length - from < room ? seeds[other].length - from : room;
      memcpy(mixed.bytes + mixed.length, seeds[other].bytes + from, length);
      mixed.length += length;
    }
  }
}

static bool in_pieces(size_t seed) {
  for (unsigned piece = 0; piece < 40; piece++) {
    mixed = seeds[seed];
    mixed.bytes[0] = (uint8_t)piece;
    LLVMFuzzerTestOneInput(mixed.bytes, mixed.length);
  }
  const int status = run_once(seeds[seed].bytes + 2, seeds[seed].length - 2, 1).status;
  return status == 0 || status == DECOMPRESS_BEHIND;
}

int main(void) {
  claim(read_seeds(), "the seeds are there");
  bool good = true;
  for (size_t i = 0; i < seed_count; i++) good = in_pieces(i) && good;
  claim(good, "each seed gives the same in pieces of any size as at once");
  for (size_t i = 0; i < ROUNDS; i++) {
    mixed = seeds[below(seed_count)];
    for (size_t changes = 1 + below(4); changes > 0; changes--) mutate();
    LLVMFuzzerTestOneInput(mixed.bytes, mixed.length);
  }
  claim(true, "six thousand mixtures of them end, and give the same in pieces or are refused");
  return tap_done();
}
