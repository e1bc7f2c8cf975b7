#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

static int epoll = -1;

bool loop_open(struct err *e) {
  epoll = epoll_create1(EPOLL_CLOEXEC);
  return epoll >= 0 ? true : fail_errno(e, "open", "epoll");
}

void source_init(struct source *s, int fd, void (*ready)(void *, uint32_t), void *owner) {
  *s = (struct source){.fd = fd, .ready = ready, .owner = owner};
}

void source_watch(struct source *s, uint32_t events) {
  if (s->fd < 0 || (s->watched && s->events == events)) return;
  struct epoll_event event = {.events = events, .data.ptr = s};
  if (epoll_ctl(epoll, s->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &event) < 0) return;
  s->watched = true;
  s->events = events;
}

// Before close: a child between fork and exec may hold the same open file, which would keep it in the set.
void source_unwatch(struct source *s) {
  if (s->watched) epoll_ctl(epoll, EPOLL_CTL_DEL, s->fd, NULL);
  s->watched = false;
}

void source_close(struct source *s) {
  source_unwatch(s);
  close_fd(&s->fd);
}

bool loop_turn(int timeout_ms) {
  struct epoll_event event;
  // What is held while bytes are moved is given back only before a wait: its pages would be new ones each time.
  int n = epoll_wait(epoll, &event, 1, 0);
  if (n == 0) {
    scratch_release();
    if (timeout_ms != 0) n = epoll_wait(epoll, &event, 1, timeout_ms);
  }
  if (n != 1) return false;
  struct source *s = event.data.ptr;
  s->ready(s->owner, event.events);
  return true;
}

int64_t now_ms(void) { return (int64_t)monotonic_ms(); }

bool buffer_add(struct buffer *b, const void *bytes, size_t length) {
  if (b->start > 0 && b->end + length > b->capacity) {
    memmove(b->data, b->data + b->start, b->end - b->start);
    b->end -= b->start;
    b->start = 0;
  }
  if (b->end + length > b->capacity) {
    const size_t capacity = b->end + length + (16u << 10);
    char *data = realloc(b->data, capacity);
    if (data == NULL) return false;
    b->data = data;
    b->capacity = capacity;
  }
  memcpy(b->data + b->end, bytes, length);
  b->end += length;
  return true;
}

bool buffer_flush(struct buffer *b, int fd) {
  while (b->start < b->end) {
    const ssize_t n = send(fd, b->data + b->start, b->end - b->start, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    b->start += (size_t)n;
  }
  buffer_free(b);
  return true;
}

void buffer_free(struct buffer *b) {
  free(b->data);
  *b = (struct buffer){0};
}
