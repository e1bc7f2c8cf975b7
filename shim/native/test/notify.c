#include "../notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap.h"

static bool arrives(const char *name, const struct sockaddr_un *address, socklen_t length) {
  struct err e = {0};
  char text[64] = "";
  AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, (const struct sockaddr *)address, length) < 0) return false;
  if (!notify(name, "READY=1\nSTATUS=up", 17, &e)) return false;
  return recv(fd, text, sizeof text - 1, 0) == 17 && strcmp(text, "READY=1\nSTATUS=up") == 0;
}

int main(void) {
  struct err e = {0};
  char directory[] = "/tmp/berth-notify-XXXXXX", name[108];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (mkdtemp(directory) == NULL) return 1;
  snprintf(name, sizeof name, "%s/socket", directory);
  strcpy(address.sun_path, name);
  claim(arrives(name, &address, sizeof address), "a notification reaches a socket by its path");
  unlink(name);
  rmdir(directory);
  snprintf(name, sizeof name, "@berth-notify-%d", (int)getpid());
  memset(address.sun_path, 0, sizeof address.sun_path);
  memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
  claim(arrives(name, &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
        "a notification reaches a socket by its abstract name");
  claim(notify(NULL, "x", 1, &e) && notify("", "x", 1, &e), "without a socket nothing is done");
  char too_long[200];
  memset(too_long, 'x', sizeof too_long);
  too_long[0] = '/';
  too_long[199] = '\0';
  claim(!notify(too_long, "x", 1, &e) && e.number == EINVAL, "a path that is too long is refused, not cut");
  claim(!notify("relative", "x", 1, &e) && e.number == EINVAL, "a relative path is refused");
  claim(!notify("/nonexistent/socket", "x", 1, &e) && e.number == ENOENT, "a socket that is not there is an error");
  return tap_done();
}
