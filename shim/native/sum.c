#include "sum.h"

#include <string.h>

// Odd, with as many ones as zeros and no pattern.
static const uint64_t keys[4] = {0x9e3779b97f4a7c15u, 0xc2b2ae3d27d4eb4fu, 0x165667b19e3779f9u, 0xd6e8feb86659fd93u};

static uint64_t mix(uint64_t a, uint64_t b) {
  const unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

uint64_t sum_bytes(uint64_t seed, const void *data, size_t length) {
  const uint8_t *at = data;
  uint64_t a = seed ^ keys[0], b = seed ^ keys[1];
  size_t left = length;
  for (; left >= 32; at += 32, left -= 32) {
    // Two chains, so that one multiplication does not wait for the other.
    a = mix(word(at) ^ a, word(at + 8) ^ keys[2]);
    b = mix(word(at + 16) ^ b, word(at + 24) ^ keys[3]);
  }
  uint8_t rest[32] = {0};
  if (left > 0) memcpy(rest, at, left);
  a = mix(word(rest) ^ a, word(rest + 8) ^ keys[2]);
  b = mix(word(rest + 16) ^ b, word(rest + 24) ^ keys[3]);
  return mix(a ^ length ^ keys[1], b ^ keys[0]);
}

static void add_page(struct content *c, uint64_t page, const uint8_t *data) {
  static const uint8_t zeros[SUM_PAGE];
  if (word(data) == 0 && memcmp(data, zeros, SUM_PAGE) == 0) return;
  c->sum += sum_bytes(page, data, SUM_PAGE);
}

static void flush(struct content *c) {
  if (c->used == 0) return;
  add_page(c, c->page, c->data);
  memset(c->data, 0, c->used);
  c->used = 0;
}

void content_add(struct content *c, uint64_t offset, const uint8_t *data, size_t length) {
  while (length > 0) {
    const uint64_t page = offset / SUM_PAGE;
    const size_t in = offset % SUM_PAGE, room = SUM_PAGE - in, part = length < room ? length : room;
    if (page != c->page) flush(c);
    c->page = page;
    if (part == SUM_PAGE) {
      add_page(c, page, data);
    } else {
      memcpy(c->data + in, data, part);
      c->used = in + part;
    }
    data += part;
    offset += part;
    length -= part;
  }
}

uint64_t content_end(struct content *c, uint64_t size) {
  flush(c);
  const uint64_t pair[2] = {c->sum, size};
  *c = (struct content){0};
  return sum_bytes(keys[3], pair, sizeof pair);
}
