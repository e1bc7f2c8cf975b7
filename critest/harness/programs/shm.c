// shm write NAME TEXT, shm read NAME: POSIX shared memory.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int writes = argc == 4 && strcmp(argv[1], "write") == 0;
  if (!writes && argc != 3) return 2;
  int fd = shm_open(argv[2], writes ? O_RDWR | O_CREAT : O_RDONLY, 0666);
  if (fd < 0 || (writes && ftruncate(fd, 4096) != 0)) {
    perror(argv[2]);
    return 1;
  }
  char *memory = mmap(NULL, 4096, writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return 1;
  if (writes)
    strcpy(memory, argv[3]);
  else
    puts(memory);
  return 0;
}
