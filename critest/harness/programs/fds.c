// Prints the descriptors that it was started with, one a line.
#include <fcntl.h>
#include <stdio.h>

int main(void) {
  for (int fd = 0; fd < 4096; fd++)
    if (fcntl(fd, F_GETFD) != -1) printf("%d\n", fd);
  return 0;
}
