// The seeds of the decompressor's fuzzer, and what comes out when their bytes are changed and their parts put together anew,
// in a fixed order of chance. `native.mjs --fuzz` searches on with libFuzzer.
#include "../fuzz/decompress.c"
#include "tap.h"

#define SEED_DIRECTORY "seeds-decompress"
#define SEED_BYTES 4096
#include "seeds.h"

#define ROUNDS 6000

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

static bool in_pieces(size_t seed, size_t *whole) {
  const uint8_t *bytes = seeds[seed].bytes + 2;
  const size_t length = seeds[seed].length - 2;
  for (unsigned piece = 0; piece < 40; piece++) {
    mixed = seeds[seed];
    mixed.bytes[0] = (uint8_t)piece;
    LLVMFuzzerTestOneInput(mixed.bytes, mixed.length);
  }
  const int status = run_once(bytes, length, 0).status;
  *whole += status == 0;
  return run_once(bytes, length, 1).status == status;
}

int main(void) {
  claim(read_seeds(12), "the seeds are there");
  bool good = true;
  size_t whole = 0;
  for (size_t i = 0; i < seed_count; i++) good = in_pieces(i, &whole) && good;
  claim(good, "each seed gives the same in pieces of any size as at once, and for zstd what libzstd's own ring gives");
  claim(whole == 20, "of the seeds, twenty are whole streams");
  for (size_t i = 0; i < ROUNDS; i++) {
    mixed = seeds[below(seed_count)];
    for (size_t changes = 1 + below(4); changes > 0; changes--) mutate();
    LLVMFuzzerTestOneInput(mixed.bytes, mixed.length);
  }
  claim(true, "six thousand mixtures of them end, and give the same in pieces and by libzstd, or are refused");
  return tap_done();
}
