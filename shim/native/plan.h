// A compiled plan: a flat list of operations with their fields (protocol.h tells the encoding).
#pragma once
#include "common.h"

struct plan {
  const uint8_t *at;
  uint32_t left;  // operations
};
struct operation {
  uint16_t code;
  struct reader in;  // its fields
};

// Checks all of it before anything is done: header, codes, number, kind and length of every field.
bool plan_open(struct plan *p, const uint8_t *data, size_t length, struct err *e);
// The next operation of a plan that was opened; false at its end.
bool plan_next(struct plan *p, struct operation *op);
// Whether the next operation has this code.
bool plan_next_is(const struct plan *p, uint16_t code);
// "mount" for OP_MOUNT_FS; for error texts.
const char *operation_name(uint16_t code);
