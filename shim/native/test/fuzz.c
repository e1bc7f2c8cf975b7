// The fuzzer's seeds, and what comes out when they are mixed in a fixed order of chance: lines and fields of all seeds
// are put together anew, bytes are changed. `native.mjs --fuzz` searches on with libFuzzer.
#include "../fuzz/unpack.c"
#include "tap.h"

#define SEED_DIRECTORY "seeds"
#define SEED_BYTES 8192
#include "seeds.h"

#define ROUNDS 4000

// A part of a seed from behind one `mark` (or its beginning) to the next.
static void pick(uint8_t mark, const uint8_t **part, size_t *length) {
  const size_t seed = below(seed_count);
  const uint8_t *text = seeds[seed].bytes, *end = text + seeds[seed].length;
  const size_t start = below(seeds[seed].length);
  const uint8_t *from = memchr(text + start, mark, seeds[seed].length - start);
  from = from == NULL ? text : from + 1;
  const uint8_t *to = memchr(from, mark, (size_t)(end - from));
  *part = from;
  *length = (size_t)((to == NULL ? end : to) - from);
}

// Puts `part` where `mixed` has [at, at + old).
static void put_part(size_t at, size_t old, const uint8_t *part, size_t length) {
  if (mixed.length - old + length > sizeof mixed.bytes) return;
  memmove(mixed.bytes + at + length, mixed.bytes + at + old, mixed.length - at - old);
  memcpy(mixed.bytes + at, part, length);
  mixed.length = mixed.length - old + length;
}

static void mutate(void) {
  static const uint8_t marks[] = "\n\n\t\t=";
  const uint8_t mark = marks[below(5)], *part, *next;
  size_t length, at = below(mixed.length);
  while (at < mixed.length && mixed.bytes[at] != mark) at++;
  if (at < mixed.length) at++;
  next = memchr(mixed.bytes + at, mark == '=' ? '\t' : mark, mixed.length - at);
  const size_t old = next == NULL ? 0 : (size_t)(next - mixed.bytes) - at;
  pick(mark, &part, &length);
  switch (below(5)) {
    case 0: put_part(at, old, part, length); break;
    case 1: put_part(at, 0, part, length), put_part(at + length, 0, &mark, 1); break;
    case 2: put_part(at, old, part, 0); break;
    case 3: put_part(at, 0, mixed.bytes + at, old); break;
    default: mixed.bytes[below(mixed.length)] = (uint8_t)below(256);
  }
}

int main(void) {
  claim(read_seeds(20), "the seeds are there");
  for (size_t i = 0; i < seed_count; i++) LLVMFuzzerTestOneInput(seeds[i].bytes, seeds[i].length);
  claim(true, "each seed unpacks or is refused, and changes nothing outside");
  for (size_t i = 0; i < ROUNDS; i++) {
    mixed = seeds[below(seed_count)];
    for (size_t changes = 1 + below(6); changes > 0; changes--) mutate();
    LLVMFuzzerTestOneInput(mixed.bytes, mixed.length);
  }
  claim(true, "four thousand mixtures of them do as well");
  claim(nftw(base, remove_one, 32, FTW_DEPTH | FTW_PHYS) == 0 && rmdir(base) == 0, "nothing is left");
  return tap_done();
}
