// Sums of what a layer has on disk, for `berth system check`: 64 bits that tell a disk's or a crash's damage. Who could
// forge one can write to the layer and to the record beside it anyway.
#pragma once
#include <stddef.h>
#include <stdint.h>

uint64_t sum_bytes(uint64_t seed, const void *data, size_t length);

#define SUM_PAGE 4096u

// Of a file: the sums of its pages, each with its place. Pages of zeros count nothing, so that a hole is what it reads as.
struct content {
  uint64_t sum, page;
  size_t used;  // of `data`; the rest of it is zeros
  uint8_t data[SUM_PAGE];
};
// Bytes come in order; what is left out is zeros. The struct begins as zeros, and is so after its end.
void content_add(struct content *c, uint64_t offset, const uint8_t *data, size_t length);
uint64_t content_end(struct content *c, uint64_t size);
