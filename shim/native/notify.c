#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

bool notify(const char *path, const char *text, size_t length, struct err *e) {
  if (path == NULL || path[0] == '\0') return true;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const size_t size = strlen(path);
  if ((path[0] != '/' && path[0] != '@') || size >= sizeof address.sun_path)
    return fail(e, EINVAL, "notify: NOTIFY_SOCKET", path);
  memcpy(address.sun_path, path, size);
  // An abstract name has no end but its length.
  if (path[0] == '@') address.sun_path[0] = '\0';
  const socklen_t used = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (path[0] == '/'));
  AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || sendto(fd, text, length, MSG_NOSIGNAL, (struct sockaddr *)&address, used) < 0)
    return fail_errno(e, "notify", path);
  return true;
}
