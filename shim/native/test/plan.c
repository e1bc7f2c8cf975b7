// The plan's reader against bytes that nobody should have written.
#include "../plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

struct bytes {
  uint8_t data[1024];
  size_t length;
};

static void put(struct bytes *b, uint32_t value, size_t size) {
  for (size_t i = 0; i < size; i++) b->data[b->length++] = (uint8_t)(value >> 8 * i);
}

static void put_field(struct bytes *b, const void *data, size_t length) {
  put(b, (uint32_t)length, 4);
  memcpy(b->data + b->length, data, length);
  b->length += length;
  put(b, 0, 1);
}

static void put_number(struct bytes *b, uint64_t value) { put_field(b, &value, 8); }

static struct bytes header(uint32_t version, uint32_t count) {
  struct bytes b = {.data = "BPLN", .length = 4};
  put(&b, version, 4);
  put(&b, count, 4);
  return b;
}

static void put_operation(struct bytes *b, uint32_t code, uint32_t fields) {
  put(b, code, 2);
  put(b, fields, 2);
}

// A plan with a number, a text, bytes and a list.
static struct bytes good(void) {
  struct bytes b = header(BERTH_PLAN, 3);
  put_operation(&b, OP_CLONE, 2);
  put_number(&b, 7);
  put_field(&b, "/cgroup", 7);
  put_operation(&b, OP_SECCOMP, 2);
  put_number(&b, 0);
  put_field(&b, "\0\1\2", 3);
  put_operation(&b, OP_EXEC, 4);
  put_number(&b, 2);
  put_field(&b, "a", 1);
  put_field(&b, "b", 1);
  put_field(&b, "K=V", 3);
  return b;
}

// From memory of exactly that size, so that the sanitizer sees every byte too many.
static bool opens(const struct bytes *b) {
  uint8_t *copy = malloc(b->length + 1);
  struct plan plan;
  struct err e;
  memcpy(copy, b->data, b->length);
  copy = realloc(copy, b->length > 0 ? b->length : 1);
  const bool ok = plan_open(&plan, copy, b->length, &e);
  struct operation op;
  while (ok && plan_next(&plan, &op))
    while (op.in.at < op.in.end) {
      size_t length;
      read_string(&op.in, &length);
      if (op.in.bad) break;
    }
  free(copy);
  return ok;
}

static void reads(void) {
  struct bytes b = good();
  struct plan plan;
  struct operation op;
  struct err e;
  claim(plan_open(&plan, b.data, b.length, &e), "a plan is accepted");
  claim(plan_next_is(&plan, OP_CLONE) && plan_next(&plan, &op) && read_number(&op.in) == 7 &&
            strcmp(read_string(&op.in, NULL), "/cgroup") == 0 && reader_done(&op.in),
        "an operation gives its fields in order");
  claim(plan_next(&plan, &op) && op.code == OP_SECCOMP && plan_next(&plan, &op) && op.code == OP_EXEC && !plan_next(&plan, &op),
        "operations come in order, and then no more");
}

static void refuses(void) {
  struct bytes b = good();
  bool none = true;
  for (size_t length = 0; length < b.length; length++) {
    struct bytes cut = b;
    cut.length = length;
    none = none && !opens(&cut);
  }
  claim(none, "a plan cut anywhere is refused");
  b.data[b.length++] = 0;
  claim(!opens(&b), "a byte behind the last operation is refused");
  b = header(BERTH_PLAN + 1, 0);
  claim(!opens(&b), "another version is refused");
  b = header(BERTH_PLAN, 1);
  put_operation(&b, 999, 0);
  claim(!opens(&b), "an unknown operation is refused");
  b = header(BERTH_PLAN, 1);
  put_operation(&b, OP_UMASK, 1);
  put_field(&b, "1234", 4);
  claim(!opens(&b), "a number of four bytes is refused");
  b = header(BERTH_PLAN, 1);
  put_operation(&b, OP_MASK, 1);
  put_field(&b, "/a\0b", 4);
  claim(!opens(&b), "a path with a zero byte is refused");
  b = header(BERTH_PLAN, 1);
  put_operation(&b, OP_MASK, 2);
  put_field(&b, "/a", 2);
  put_field(&b, "/b", 2);
  claim(!opens(&b), "a field too many is refused");
  b = header(BERTH_PLAN, 1);
  put_operation(&b, OP_EXEC, 1);
  put_number(&b, 0);
  claim(!opens(&b), "an exec without a program is refused");
  b = header(BERTH_PLAN, 0xffffffffu);
  claim(!opens(&b), "a count that no plan can hold is refused");
}

// Every byte changed in every way that one bit can; what is accepted is read to its end under the sanitizer.
static void survives(void) {
  const struct bytes b = good();
  int accepted = 0;
  for (size_t i = 0; i < b.length; i++)
    for (int bit = 0; bit < 8; bit++) {
      struct bytes changed = b;
      changed.data[i] ^= (uint8_t)(1 << bit);
      accepted += opens(&changed);
    }
  claim(accepted > 0, "no changed bit makes the reader leave its bytes");
}

int main(void) {
  reads();
  refuses();
  survives();
  return tap_done();
}
