// The seeds of a fuzzer, and chance in a fixed order to mix them; SEED_DIRECTORY (in ../fuzz) and SEED_BYTES come first.
#pragma once
#include <dirent.h>

#define SEEDS 256

static struct {
  uint8_t bytes[SEED_BYTES];
  size_t length;
} seeds[SEEDS], mixed;
static size_t seed_count;

static uint32_t chance = 1;
static size_t below(size_t limit) {
  chance = chance * 1664525u + 1013904223u;
  return limit == 0 ? 0 : (size_t)(((uint64_t)chance * limit) >> 32);
}

// Whether there are more than `least`.
static bool read_seeds(size_t least) {
  char path[512];
  (void)snprintf(path, sizeof path, "%.*s../fuzz/" SEED_DIRECTORY, (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__);
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
  return seed_count > least;
}
