// eat MIB: takes so much memory and touches it.
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  size_t size = argc == 2 ? (size_t)atoi(argv[1]) << 20 : 0;
  volatile char *memory = malloc(size);
  if (memory == NULL) return 2;
  for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
  return 0;
}
