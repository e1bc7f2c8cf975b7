// The lines that scripts/native.mjs counts: `ok N - claim`, `not ok N - claim`.
#pragma once
#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_failed;

static inline void claim(bool holds, const char *text) {
  printf("%s %d - %s\n", holds ? "ok" : "not ok", ++tap_count, text);
  if (!holds) tap_failed++;
}

static inline int tap_done(void) {
  printf("1..%d\n", tap_count);
  return tap_failed > 0;
}
