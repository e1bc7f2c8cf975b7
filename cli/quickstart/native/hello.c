// The program in the quickstart's image. `hello serve PORT` answers HTTP and logs each request; `hello ask PORT [TIMES]`
// asks 127.0.0.1:PORT and prints the answer, over and over until SIGTERM when TIMES is missing.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t told_to_end;

// The first process of a pid namespace ignores signals that it does not handle.
static void on_end(int number) {
  (void)number;
  told_to_end = 1;
}

static bool handle_signals(void) {
  struct sigaction action = {.sa_handler = on_end};
  sigemptyset(&action.sa_mask);
  return sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0 &&
         signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

static bool whole_number(const char *text, long most, long *value) {
  char *end = NULL;
  errno = 0;
  *value = strtol(text, &end, 10);
  return errno == 0 && end != text && *end == '\0' && *value > 0 && *value <= most;
}

static bool fail(const char *action) {
  fprintf(stderr, "hello: %s: %s\n", action, strerror(errno));
  return false;
}

static bool write_all(int fd, const char *data, size_t size) {
  while (size > 0) {
    const ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR && !told_to_end) continue;
    if (n <= 0) return false;
    data += n;
    size -= (size_t)n;
  }
  return true;
}

// Reads until `mark` is there, the peer is done or the buffer is full; ends it with a zero byte.
static size_t read_until(int fd, char *buffer, size_t size, const char *mark) {
  size_t used = 0;
  while (used + 1 < size) {
    const ssize_t n = read(fd, buffer + used, size - 1 - used);
    if (n < 0 && errno == EINTR && !told_to_end) continue;
    if (n <= 0) break;
    used += (size_t)n;
    buffer[used] = '\0';
    if (mark != NULL && strstr(buffer, mark) != NULL) break;
  }
  buffer[used] = '\0';
  return used;
}

static bool set_timeouts(int fd) {
  const struct timeval limit = {.tv_sec = 2};
  return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
         setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0;
}

static void answer(int fd, unsigned long count) {
  char request[4096];
  char host[256] = "?";
  char text[400];
  char reply[800];
  if (read_until(fd, request, sizeof request, "\r\n\r\n") == 0) return;
  gethostname(host, sizeof host - 1);
  const int length = snprintf(text, sizeof text, "hello number %lu from %s\n", count, host);
  const int size = snprintf(reply, sizeof reply,
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
                            "Connection: close\r\n\r\n%s",
                            length, text);
  if (size > 0 && write_all(fd, reply, (size_t)size)) printf("answered request %lu\n", count);
}

static int listen_on(long port) {
  const struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {.s_addr = htonl(INADDR_ANY)}};
  const int on = 1;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static bool serve(long port) {
  const int listener = listen_on(port);
  if (listener < 0) return fail("listen");
  printf("serving on port %ld\n", port);
  for (unsigned long count = 1; !told_to_end;) {
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0) return fail("accept");
    if (set_timeouts(fd)) answer(fd, count++);
    close(fd);
  }
  close(listener);
  printf("told to end\n");
  return true;
}

static bool ask_on(int fd, long port) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  char reply[4096];
  if (!set_timeouts(fd) || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
      !write_all(fd, request, sizeof request - 1))
    return fail("ask");
  read_until(fd, reply, sizeof reply, NULL);
  const char *body = strstr(reply, "\r\n\r\n");
  if (body == NULL) {
    errno = EPROTO;
    return fail("read the answer");
  }
  printf("got: %s", body + 4);
  return true;
}

static bool ask(long port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail("socket");
  const bool done = ask_on(fd, port);
  close(fd);
  return done;
}

// `times` 0: until told; a server that is not there yet is asked again.
static bool ask_often(long port, long times) {
  const struct timespec pause = {.tv_nsec = 300L * 1000 * 1000};
  bool all = true;
  for (long done = 0; !told_to_end && (times == 0 || done < times); done++) {
    if (done > 0) nanosleep(&pause, NULL);
    if (!told_to_end && !ask(port)) all = false;
  }
  return all || times == 0;
}

int main(int argc, char **argv) {
  long port = 0;
  long times = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  const bool known = argc >= 3 && whole_number(argv[2], 65535, &port) && handle_signals();
  if (known && argc == 3 && strcmp(argv[1], "serve") == 0) return serve(port) ? 0 : 1;
  if (known && argc == 3 && strcmp(argv[1], "ask") == 0) return ask_often(port, 0) ? 0 : 1;
  if (known && argc == 4 && strcmp(argv[1], "ask") == 0 && whole_number(argv[3], 1000000, &times))
    return ask_often(port, times) ? 0 : 1;
  fprintf(stderr, "usage: hello serve PORT\n       hello ask PORT [TIMES]\n");
  return 2;
}
