// eat MIB [hold]: takes so much memory and touches it; with `hold` it says so and keeps it.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  size_t size = argc >= 2 ? (size_t)atoi(argv[1]) << 20 : 0;
  volatile char *memory = malloc(size);
  if (memory == NULL) return 2;
  for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
  if (argc != 3) return 0;
  puts("held");
  fflush(stdout);
  return pause();
}
