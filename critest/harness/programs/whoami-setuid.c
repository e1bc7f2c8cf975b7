// Prints the effective uid; in the image it is setuid root.
#include <stdio.h>
#include <unistd.h>

int main(void) {
  printf("%d\n", (int)geteuid());
  return 0;
}
