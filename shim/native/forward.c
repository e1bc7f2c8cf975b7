// `berth-shim forward NETNS PORT SOCKET`: one TCP connection to the loopback of a network namespace ("": the host's),
// carried to and from a unix socket of the daemon's. stdin is the token that tells the daemon which connection it is. A
// connection that cannot be made is told as an error on stdout.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "common.h"
#include "sys.h"

#define CONNECT_S 30
#define TOKEN_MOST 64
#define PIECE (128u << 10)

// One direction. `data` holds what was read and is not written yet.
struct way {
  int from, to;
  size_t start, end;
  bool ended;  // no more comes, and that was passed on
  char data[PIECE];
};

static struct way ways[2];

static int enter_and_connect(const char *netns, uint16_t port, struct err *e) {
  AUTO_CLOSE int ns = netns[0] == '\0' ? -1 : openat(AT_FDCWD, netns, O_RDONLY | O_CLOEXEC);
  if (netns[0] != '\0' && (ns < 0 || syscall(SYS_setns, ns, CLONE_NEWNET) < 0)) {
    fail_errno(e, "join network namespace", netns);
    return -1;
  }
  const struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  const struct timeval patience = {.tv_sec = CONNECT_S};
  char object[24];
  snprintf(object, sizeof object, "port %u", port);
  // What IPv4 says is told when both fail: it is what almost every server listens on.
  for (int i = 0; i < 2; i++) {
    const void *address = i == 0 ? (const void *)&four : (const void *)&six;
    AUTO_CLOSE int fd = socket(i == 0 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (fd >= 0 && connect(fd, address, i == 0 ? sizeof four : sizeof six) == 0) return keep_fd(&fd);
    // A connect that was waited for long enough answers EINPROGRESS.
    if (errno == EINPROGRESS) errno = ETIMEDOUT;
    if (i == 0) fail_errno(e, "connect to", object);
  }
  return -1;
}

// A longer path than an address holds is reached by its directory.
static int connect_daemon(const char *path, struct err *e) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *slash = strrchr(path, '/');
  char directory[4096];
  const size_t length = slash == NULL ? 0 : (size_t)(slash - path);
  if (slash == NULL || length >= sizeof directory || strlen(slash + 1) >= sizeof address.sun_path) {
    fail(e, ENAMETOOLONG, "connect to", path);
    return -1;
  }
  memcpy(directory, path, length);
  directory[length] = '\0';
  strcpy(address.sun_path, slash + 1);
  AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || chdir(directory) < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
    fail_errno(e, "connect to", path);
    return -1;
  }
  return keep_fd(&fd);
}

static bool pass_token(int to, struct err *e) {
  char token[TOKEN_MOST];
  const ssize_t n = read(0, token, sizeof token);
  return n > 0 && write_all(to, token, (size_t)n) ? true : fail_errno(e, "pass", "token");
}

static bool is_transient(void) { return errno == EAGAIN || errno == EINTR; }

// False: the connection is broken.
static bool move(struct way *w, bool readable, bool writable) {
  if (w->end == 0 && readable) {
    const ssize_t n = recv(w->from, w->data, sizeof w->data, MSG_DONTWAIT);
    if (n < 0) return is_transient();
    w->ended = n == 0;
    if (w->ended) shutdown(w->to, SHUT_WR);
    if (w->ended) return true;
    w->end = (size_t)n;
    writable = true;  // mostly it has room
  }
  if (w->end == 0 || !writable) return true;
  const ssize_t n = send(w->to, w->data + w->start, w->end - w->start, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && is_transient()) return true;
  // What it is sent is dropped: who reads no more may have said something before, which still goes the other way.
  w->start = n < 0 ? w->end : w->start + (size_t)n;
  if (w->start == w->end) w->start = w->end = 0;
  return true;
}

static void carry(void) {
  while (!ways[0].ended || !ways[1].ended) {
    struct pollfd polled[2] = {{.fd = ways[0].from}, {.fd = ways[1].from}};
    for (int i = 0; i < 2; i++) {
      if (ways[i].end > 0) polled[1 - i].events |= POLLOUT;
      else if (!ways[i].ended) polled[i].events |= POLLIN;
    }
    // A hang-up of who is not asked anything would be told again and again.
    for (int i = 0; i < 2; i++)
      if (polled[i].events == 0) polled[i].fd = -1;
    if (poll(polled, 2, -1) < 0 && errno != EINTR) return;
    for (int i = 0; i < 2; i++) {
      const bool readable = !ways[i].ended && (polled[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
      const bool writable = (polled[1 - i].revents & (POLLOUT | POLLHUP | POLLERR)) != 0;
      if (!move(&ways[i], readable, writable)) return;
    }
  }
}

int role_forward(int argc, char **argv) {
  uint64_t port;
  struct err e = {0};
  if (argc != 3 || !parse_number(argv[1], UINT16_MAX, &port) || port == 0) return 64;
  AUTO_CLOSE int inside = enter_and_connect(argv[0], (uint16_t)port, &e);
  AUTO_CLOSE int daemon = inside < 0 ? -1 : connect_daemon(argv[2], &e);
  if (daemon < 0 || !pass_token(daemon, &e)) {
    write_error(1, 0, &e);
    return 1;
  }
  const int yes = 1;
  setsockopt(inside, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  ways[0] = (struct way){.from = inside, .to = daemon};
  ways[1] = (struct way){.from = daemon, .to = inside};
  carry();
  return 0;
}
